//! What a cluster is promised.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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
    let read = Review::parse(review).unwrap();
    let answer = read.answer(read.say(&judge(), &place, NOW), unknown);
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

/// A container with a GPU.
fn with_gpu(image: &str) -> Value {
    json!({ "image": image, "resources": { "limits": { "nvidia.com/gpu": "1" } } })
}

#[test]
fn gpus_of_a_container_that_runs_first_are_asked_about_like_any() {
    let hidden = |namespace: &str| {
        let mut review = pod(namespace, "0", Some("NVIDIA-H100-80GB-HBM3"));
        review["request"]["object"]["spec"]["initContainers"] = json!([with_gpu("warm-up:1")]);
        review
    };
    assert_eq!(ask(&hidden("acme"), Unknown::Deny)["allowed"], true);
    let refused = ask(&hidden("sino"), Unknown::Allow);
    assert_eq!(refused["allowed"], false, "{refused}");
    assert_eq!(ask(&hidden("stranger"), Unknown::Deny)["allowed"], false);
    let let_in = ask(&hidden("stranger"), Unknown::Allow);
    assert!(let_in["warnings"].is_array(), "{let_in}");
}

#[test]
fn a_pod_that_claims_devices_cannot_be_told_unless_something_stands_against_it() {
    let claims = |namespace: &str, gpus: &str| {
        let mut review = pod(namespace, gpus, Some("NVIDIA-H100-80GB-HBM3"));
        let claim = json!([{ "name": "gpu", "resourceClaimTemplateName": "h100" }]);
        review["request"]["object"]["spec"]["resourceClaims"] = claim;
        review
    };
    for gpus in ["0", "1"] {
        let let_in = ask(&claims("acme", gpus), Unknown::Allow);
        let why = let_in["warnings"][0].as_str().unwrap();
        assert!(why.contains("resourceClaims"), "{why}");
        assert_eq!(ask(&claims("acme", gpus), Unknown::Deny)["allowed"], false);
    }
    let refused = ask(&claims("sino", "1"), Unknown::Allow);
    assert_eq!(refused["allowed"], false, "{refused}");
}

#[test]
fn what_stands_against_one_container_is_not_hidden_by_one_that_is_nobodys() {
    // Of one namespace, `sino` has one image only.
    let mut judge = judge();
    let binding = v1::Binding {
        id: "by image".into(),
        tenant: "sino".into(),
        namespace: "mixed".into(),
        image: "trainer:1".into(),
        ..Default::default()
    };
    let event = v1::BindingEvent {
        binding: Some(binding),
        ..Default::default()
    };
    judge.binding_event(100, [1; 32], &event);
    let place = Place::default();
    for order in [["nobody:1", "trainer:1"], ["trainer:1", "zebra:1"]] {
        let mut review = pod("mixed", "1", Some("NVIDIA-H100-80GB-HBM3"));
        review["request"]["object"]["spec"]["containers"] = json!(order.map(with_gpu).to_vec());
        let read = Review::parse(&review).unwrap();
        let said = read.say(&judge, &place, NOW);
        assert!(matches!(said, Said::Denied(_)), "{order:?}");
    }
}

#[test]
fn more_containers_than_are_asked_about_cannot_be_told() {
    let many = |count: usize| {
        let mut review = pod("acme", "0", Some("NVIDIA-H100-80GB-HBM3"));
        let containers: Vec<Value> = (0..count).map(|n| with_gpu(&format!("i:{n}"))).collect();
        review["request"]["object"]["spec"]["containers"] = json!(containers);
        review
    };
    let all = ask(&many(MAX_CONTAINERS), Unknown::Deny);
    assert_eq!(all["allowed"], true, "{all}");
    let more = ask(&many(MAX_CONTAINERS + 1), Unknown::Deny);
    assert_eq!(more["allowed"], false, "{more}");
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
    for bad in [
        json!({}),
        json!({ "apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview" }),
        json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": 1 }),
    ] {
        assert!(Review::parse(&bad).is_err(), "{bad}");
    }
}
