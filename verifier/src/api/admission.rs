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
use serde_json::{Value, json};
use tonic::Status;

use super::pod::{Object, PRODUCT, Pod, text};

/// Most containers with GPUs of one pod; a node has 8 or 16 GPUs. Each image among them is matched against the
/// bindings while the judge is held.
const MAX_CONTAINERS: usize = 256;

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

/// An AdmissionReview as it is read.
pub(super) struct Review(Request);

#[derive(Deserialize)]
struct Envelope {
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

/// What is said of a pod.
pub(super) enum Said {
    Allowed,
    /// Cannot be told, and why.
    Unknown(String),
    Denied(String),
}

impl Review {
    /// Reads one; nobody is asked for it.
    pub(super) fn parse(review: &Value) -> Result<Self, Status> {
        let kind = (text(review, "apiVersion"), text(review, "kind"));
        if kind != ("admission.k8s.io/v1", "AdmissionReview") {
            return Err(Status::invalid_argument(
                "the body is not an AdmissionReview of admission.k8s.io/v1",
            ));
        }
        let read = Envelope::deserialize(review)
            .map_err(|error| Status::invalid_argument(format!("AdmissionReview: {error}")))?;
        Ok(Self(read.request))
    }

    /// What the judge says of its pod now.
    pub(super) fn say(&self, judge: &Judge, place: &Place, now_unix_ms: u64) -> Said {
        let pod = self.0.object.as_ref().and_then(Object::asking);
        pod.map_or(Said::Allowed, |pod| {
            say(judge, &pod, &self.0.namespace, place, now_unix_ms)
        })
    }

    /// Spells the answer.
    pub(super) fn answer(&self, said: Said, unknown: Unknown) -> Value {
        let Request { uid, namespace, .. } = &self.0;
        let mut response = json!({ "uid": uid, "allowed": true });
        let deny = |why: &str| json!({ "uid": uid, "allowed": false, "status": { "code": 403, "message": why } });
        match said {
            Said::Allowed => {}
            Said::Unknown(why) if unknown == Unknown::Deny => {
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
                response["warnings"] =
                    json!([format!("affiant: {why}; its use will be a finding")]);
            }
            Said::Denied(why) => {
                tracing::warn!(namespace, uid, why, "a pod was not let in");
                response = deny(&format!("affiant: {why}"));
            }
        }
        json!({
            "apiVersion": "admission.k8s.io/v1",
            "kind": "AdmissionReview",
            "response": response,
        })
    }
}

/// What stands against one container counts before what cannot be told of another.
fn say(judge: &Judge, pod: &Pod<'_>, namespace: &str, place: &Place, now_unix_ms: u64) -> Said {
    let containers = pod.containers();
    if containers > MAX_CONTAINERS {
        return Said::Unknown(format!(
            "{containers} containers ask for GPUs, and at most {MAX_CONTAINERS} are asked about"
        ));
    }
    let account = pod.account();
    let (mut tenants, mut unknown) = (BTreeSet::new(), BTreeSet::new());
    for image in pod.images() {
        let workload = v1::Workload {
            platform: v1::Platform::Kubernetes.into(),
            cluster: place.cluster.clone(),
            namespace: namespace.to_owned(),
            service_account: account.to_owned(),
            image: image.to_owned(),
            ..Default::default()
        };
        match judge.whose(&workload, "", now_unix_ms) {
            Whose::Tenant(tenant) => {
                tenants.insert(tenant);
            }
            Whose::Nobody(why) => {
                let what = format!("namespace {namespace}, service account {account}");
                unknown.insert(format!("whose this pod is cannot be told ({what}): {why}"));
            }
        }
    }
    let products = pod.products();
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
    if !against.is_empty() {
        if !products.is_empty() {
            return Said::Denied(against.join("; "));
        }
        // It might be allowed on another product than the most controlled one.
        unknown.insert(format!(
            "no node selector {PRODUCT} names the product, and on a controlled one: {}",
            against.join("; ")
        ));
    }
    if pod.claims() {
        unknown.insert("which devices its resourceClaims get it does not say".to_owned());
    }
    if unknown.is_empty() {
        Said::Allowed
    } else {
        Said::Unknown(Vec::from_iter(unknown).join("; "))
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

#[cfg(test)]
mod tests;
