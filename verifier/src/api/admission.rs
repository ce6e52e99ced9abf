//! A Kubernetes validating-admission webhook: may this pod have the GPUs that it asks for?
//!
//! What cannot be told (a pod that no binding matches, a product that nothing names) is allowed with a
//! warning, and the journal says so, unless the webhook's URL has `unknown=deny`.
//!
//! Source: Kubernetes `admission.k8s.io/v1` AdmissionReview; the labels are those of NVIDIA's GPU feature
//! discovery.

use std::collections::{BTreeMap, BTreeSet};

use affiant_judge::{
    Class, Judge,
    asking::{Question, Whose},
};
use affiant_proto::v1;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tonic::Status;

/// Resources that are GPUs begin so: `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`, `nvidia.com/gpu.shared`.
const RESOURCES: &str = "nvidia.com/";

/// The node label that names the product, such as `NVIDIA-H100-80GB-HBM3`.
const PRODUCT: &str = "nvidia.com/gpu.product";

/// Most products that one pod may be asked about; a cluster has a handful.
const MAX_PRODUCTS: usize = 64;

/// What becomes of a pod of which it cannot be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unknown {
    /// It is let in, with a warning, and the journal says so.
    #[default]
    Allow,
    /// It is not.
    Deny,
}

/// Where the pods of a webhook run; its URL says it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place {
    /// The cluster, as bindings name it.
    pub cluster: String,
    /// The site, as hosts are enrolled with it.
    pub site: String,
    /// What becomes of a pod of which it cannot be told.
    pub unknown: Unknown,
}

#[derive(Deserialize)]
struct Review {
    request: Request,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    uid: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    object: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    spec: Spec,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    service_account_name: String,
    node_selector: BTreeMap<String, String>,
    affinity: Value,
    containers: Vec<Container>,
    init_containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    #[serde(default)]
    image: String,
    #[serde(default)]
    resources: Resources,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resources {
    limits: Map<String, Value>,
    requests: Map<String, Value>,
}

/// What is said of a pod.
enum Said {
    Allowed,
    /// Cannot be told, and why.
    Unknown(String),
    Denied(String),
}

/// Answers an AdmissionReview by what the judge says now.
pub(super) fn review(
    judge: &Judge,
    review: &Value,
    place: &Place,
    now_unix_ms: u64,
) -> Result<Value, Status> {
    let kind = (text(review, "apiVersion"), text(review, "kind"));
    if kind != ("admission.k8s.io/v1", "AdmissionReview") {
        return Err(Status::invalid_argument(
            "the body is not an AdmissionReview of admission.k8s.io/v1",
        ));
    }
    let read = Review::deserialize(review)
        .map_err(|error| Status::invalid_argument(format!("AdmissionReview: {error}")))?;
    let request = read.request;
    let said = request.object.as_ref().map_or(Said::Allowed, |object| {
        say(judge, object, &request.namespace, place, now_unix_ms)
    });
    let (namespace, uid) = (&request.namespace, &request.uid);
    let mut response = json!({ "uid": uid, "allowed": true });
    let deny = |why: &str| json!({ "uid": uid, "allowed": false, "status": { "code": 403, "message": why } });
    match said {
        Said::Allowed => {}
        Said::Unknown(why) if place.unknown == Unknown::Deny => {
            tracing::warn!(
                namespace,
                uid,
                why,
                "a pod was not let in: it cannot be told"
            );
            response = deny(&format!("affiant: {why}"));
        }
        Said::Unknown(why) => {
            tracing::warn!(
                namespace,
                uid,
                why,
                "a pod was let in of which it cannot be told"
            );
            response["warnings"] = json!([format!("affiant: {why}; its use will be a finding")]);
        }
        Said::Denied(why) => {
            tracing::warn!(namespace, uid, why, "a pod was not let in");
            response = deny(&format!("affiant: {why}"));
        }
    }
    Ok(json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "response": response,
    }))
}

fn say(judge: &Judge, object: &Object, namespace: &str, place: &Place, now_unix_ms: u64) -> Said {
    let spec = &object.spec;
    if object.kind != "Pod" || !wants_gpus(spec) {
        return Said::Allowed;
    }
    let account = match spec.service_account_name.as_str() {
        "" => "default",
        named => named,
    };
    let mut tenants = BTreeSet::new();
    for container in spec.containers.iter().filter(|it| has_gpu(it)) {
        let workload = v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            cluster: place.cluster.clone(),
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
            image: container.image.clone(),
            ..Default::default()
        };
        match judge.whose(&workload, "", now_unix_ms) {
            Whose::Tenant(tenant) => tenants.insert(tenant),
            Whose::Nobody(why) => {
                let what = format!("namespace {namespace}, service account {account}");
                return Said::Unknown(format!("whose this pod is cannot be told ({what}): {why}"));
            }
        };
    }
    let products = products(spec);
    let mut classes: BTreeMap<Class, &str> = BTreeMap::new();
    for product in &products {
        classes.entry(class(judge, product)).or_insert(product);
    }
    if classes.is_empty() {
        classes.insert(
            Class::Unknown,
            "a product that its node selector does not name",
        );
    }
    let mut against = Vec::new();
    for tenant in &tenants {
        for (class, product) in &classes {
            let question = Question {
                tenant: tenant.clone(),
                class: *class,
                site: place.site.clone(),
            };
            let answer = judge.ask(&question, now_unix_ms);
            against.extend(answer.against.iter().map(|it| {
                let rule = it.rule.as_str();
                format!("{rule}: tenant {tenant} on {product}: {}", it.detail)
            }));
        }
    }
    if against.is_empty() {
        Said::Allowed
    } else if products.is_empty() {
        // It might be allowed on another product than the most controlled one.
        Said::Unknown(format!(
            "no node selector {PRODUCT} names the product, and on a controlled one: {}",
            against.join("; ")
        ))
    } else {
        Said::Denied(against.join("; "))
    }
}

/// The class of a product as its label spells it: with a dash where the driver has a blank, and with what it
/// was cut into at its end. A slice has the class of the whole.
fn class(judge: &Judge, product: &str) -> Class {
    let whole = product.split("-MIG-").next().unwrap_or(product);
    let whole = whole.strip_suffix("-SHARED").unwrap_or(whole);
    let spellings = [
        whole.to_owned(),
        whole.replacen('-', " ", 1),
        whole.replace('-', " "),
    ];
    let of = |model| {
        judge.devices().class(&v1::Device {
            model,
            ..Default::default()
        })
    };
    // What nobody classified comes last.
    spellings
        .into_iter()
        .map(of)
        .min()
        .unwrap_or(Class::Unknown)
}

fn wants_gpus(spec: &Spec) -> bool {
    spec.containers
        .iter()
        .chain(&spec.init_containers)
        .any(has_gpu)
}

fn has_gpu(container: &Container) -> bool {
    let Resources { limits, requests } = &container.resources;
    let mut asked = limits.iter().chain(requests);
    asked.any(|(name, amount)| name.starts_with(RESOURCES) && !is_zero(amount))
}

fn is_zero(amount: &Value) -> bool {
    amount.as_str() == Some("0") || amount.as_u64() == Some(0)
}

/// The products of which a pod may get one: by its node selector, or by the node affinity that is required.
/// None where it may get any.
fn products(spec: &Spec) -> BTreeSet<String> {
    if let Some(product) = spec.node_selector.get(PRODUCT) {
        return BTreeSet::from([product.clone()]);
    }
    let mut products = BTreeSet::new();
    let required = "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    let terms = spec.affinity.pointer(required).and_then(Value::as_array);
    // One term of them is enough, so each must name products.
    for term in terms.into_iter().flatten() {
        let expressions = term.get("matchExpressions").and_then(Value::as_array);
        let named = expressions
            .into_iter()
            .flatten()
            .filter(|it| text(it, "key") == PRODUCT && text(it, "operator") == "In");
        let values = named.filter_map(|it| it.get("values").and_then(Value::as_array));
        let values: Vec<&str> = values.flatten().filter_map(Value::as_str).collect();
        if values.is_empty() || products.len() + values.len() > MAX_PRODUCTS {
            return BTreeSet::new();
        }
        products.extend(values.into_iter().map(str::to_owned));
    }
    products
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use affiant_judge::Parameters;
    use affiant_proto::v1::tenant_event::Body;

    use super::*;

    /// A day on which the default pack judges.
    const NOW: u64 = 1_780_000_000_000;

    /// `acme` may use anything, `sino` is headquartered where controlled classes may not be used, and
    /// nobody approved `draft`. Each has the namespace of its name.
    fn judge() -> Judge {
        let mut judge = Judge::new(Parameters::default());
        let mut index = 0;
        judge.clock(index, NOW);
        for (tenant, hq) in [("acme", "DE"), ("sino", "CN"), ("draft", "DE")] {
            let party = v1::Party {
                id: tenant.into(),
                names: vec![v1::PartyName {
                    text: tenant.into(),
                    ..Default::default()
                }],
                headquarters: hq.into(),
                ..Default::default()
            };
            let stated = v1::Tenant {
                id: tenant.into(),
                customer: tenant.into(),
                end_customer: tenant.into(),
                ultimate_parent: tenant.into(),
                ..Default::default()
            };
            for body in [Body::Party(party), Body::Tenant(stated)] {
                index += 1;
                let event = v1::TenantEvent {
                    body: Some(body),
                    ..Default::default()
                };
                judge.tenant_event(index, [1; 32], &event);
            }
            let dossier = judge.registry().dossier_digest(tenant).unwrap();
            for officer in [[1; 32], [2; 32]].into_iter().filter(|_| tenant != "draft") {
                index += 1;
                let decision = v1::Decision {
                    tenant: tenant.into(),
                    dossier: dossier.as_bytes().to_vec(),
                    verdict: v1::Verdict::Approve.into(),
                    ..Default::default()
                };
                judge.decision(index, officer, &decision);
            }
            index += 1;
            let binding = v1::Binding {
                id: tenant.into(),
                tenant: tenant.into(),
                namespace: tenant.into(),
                ..Default::default()
            };
            let event = v1::BindingEvent {
                binding: Some(binding),
                ..Default::default()
            };
            judge.binding_event(index, [1; 32], &event);
        }
        judge
    }

    fn pod(namespace: &str, gpus: &str, product: Option<&str>) -> Value {
        let mut spec = json!({ "containers": [
            { "image": "trainer:1", "resources": { "limits": { "cpu": "8", "nvidia.com/gpu": gpus } } },
        ] });
        if let Some(product) = product {
            spec["nodeSelector"] = json!({ PRODUCT: product });
        }
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "request": {
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002",
                "operation": "CREATE",
                "namespace": namespace,
                "object": { "apiVersion": "v1", "kind": "Pod", "spec": spec },
            },
        })
    }

    fn ask(review: &Value, unknown: Unknown) -> Value {
        let place = Place {
            unknown,
            ..Place::default()
        };
        let answer = super::review(&judge(), review, &place, NOW).unwrap();
        assert_eq!(answer["response"]["uid"], review["request"]["uid"]);
        answer["response"].clone()
    }

    #[test]
    fn a_vetted_tenant_gets_its_gpus_and_others_are_told_why_not() {
        let h100 = Some("NVIDIA-H100-80GB-HBM3");
        assert_eq!(ask(&pod("acme", "8", h100), Unknown::Deny)["allowed"], true);
        for (namespace, rule) in [("sino", "RESTRICTED_HQ"), ("draft", "USE_UNVETTED")] {
            let refused = ask(&pod(namespace, "1", h100), Unknown::Allow);
            assert_eq!(refused["allowed"], false);
            let why = refused["status"]["message"].as_str().unwrap();
            assert!(why.contains(rule), "{why}");
        }
    }

    #[test]
    fn a_slice_and_a_shared_device_have_the_class_of_the_whole() {
        for product in [
            "NVIDIA-H100-80GB-HBM3-MIG-1g.10gb",
            "NVIDIA-A100-SXM4-80GB",
            "NVIDIA-A100-SXM4-80GB-SHARED",
        ] {
            assert_eq!(class(&judge(), product), Class::A, "{product}");
        }
        assert_eq!(class(&judge(), "NVIDIA-Next-9000"), Class::Unknown);
    }

    #[test]
    fn what_cannot_be_told_is_let_in_with_a_warning_unless_the_webhook_says_otherwise() {
        let stranger = pod("stranger", "1", Some("NVIDIA-H100-80GB-HBM3"));
        let unnamed = pod("sino", "1", None);
        for review in [&stranger, &unnamed] {
            let let_in = ask(review, Unknown::Allow);
            assert_eq!(let_in["allowed"], true);
            assert_eq!(let_in["warnings"].as_array().unwrap().len(), 1);
            assert_eq!(ask(review, Unknown::Deny)["allowed"], false);
        }
    }

    #[test]
    fn a_pod_without_gpus_and_what_is_no_pod_are_nothing_to_say_about() {
        assert_eq!(
            ask(&pod("draft", "0", None), Unknown::Deny),
            json!({
                "uid": "705ab4f5-6393-11e8-b7cc-42010a800002", "allowed": true,
            })
        );
        let mut job = pod("draft", "8", None);
        job["request"]["object"]["kind"] = json!("Job");
        assert_eq!(ask(&job, Unknown::Deny)["allowed"], true);
    }

    #[test]
    fn an_affinity_counts_where_every_alternative_names_products() {
        let term = |product: &str| {
            json!({ "matchExpressions": [
            { "key": PRODUCT, "operator": "In", "values": [product] },
        ] })
        };
        let affinity = |terms: Value| {
            json!({ "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": { "nodeSelectorTerms": terms },
        } })
        };
        let mut review = pod("sino", "1", None);
        let both = json!([term("NVIDIA-L4"), term("NVIDIA-H100-80GB-HBM3")]);
        review["request"]["object"]["spec"]["affinity"] = affinity(both);
        assert_eq!(
            ask(&review, Unknown::Allow)["allowed"],
            false,
            "one of them is controlled"
        );
        let open = json!([term("NVIDIA-H100-80GB-HBM3"), { "matchExpressions": [] }]);
        review["request"]["object"]["spec"]["affinity"] = affinity(open);
        assert!(
            ask(&review, Unknown::Allow)["warnings"].is_array(),
            "any product will do"
        );
    }

    #[test]
    fn what_is_no_review_is_refused() {
        let place = Place::default();
        for bad in [
            json!({}),
            json!({ "apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview" }),
            json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": 1 }),
        ] {
            assert!(super::review(&judge(), &bad, &place, 0).is_err(), "{bad}");
        }
    }
}
