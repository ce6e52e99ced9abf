//! What a pod asks for, as an AdmissionReview brings it.
//!
//! Source: Kubernetes `core/v1` PodSpec. A container of any kind that the device plugin serves has its GPUs in
//! its own `resources`. Ephemeral containers are none of them: they may ask for no resources, and no pod is
//! created with one.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Map, Value};

/// Resources that are GPUs begin so: `nvidia.com/gpu`, `nvidia.com/mig-1g.10gb`, `nvidia.com/gpu.shared`.
const RESOURCES: &str = "nvidia.com/";

/// The node label that names the product, such as `NVIDIA-H100-80GB-HBM3`.
pub(super) const PRODUCT: &str = "nvidia.com/gpu.product";

/// Most products that one pod may be asked about; a cluster has a handful.
const MAX_PRODUCTS: usize = 64;

/// What is to be created.
#[derive(Deserialize)]
pub(super) struct Object {
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
    resource_claims: Vec<Value>,
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

/// A pod that gets devices, as far as its text says so.
pub(super) struct Pod<'a>(&'a Spec);

impl Object {
    /// The pod, where this is one that asks for devices.
    pub(super) fn asking(&self) -> Option<Pod<'_>> {
        let pod = Pod(&self.spec);
        let asks = pod.claims() || pod.with_gpus().next().is_some();
        (self.kind == "Pod" && asks).then_some(pod)
    }
}

impl Pod<'_> {
    /// The service account that it runs as.
    pub(super) fn account(&self) -> &str {
        match self.0.service_account_name.as_str() {
            "" => "default",
            named => named,
        }
    }

    /// How many of its containers ask for GPUs.
    pub(super) fn containers(&self) -> usize {
        self.with_gpus().count()
    }

    /// The images of the containers that ask for GPUs.
    pub(super) fn images(&self) -> BTreeSet<&str> {
        self.with_gpus().map(|it| it.image.as_str()).collect()
    }

    /// Whether it claims devices by name (dynamic resource allocation): its text does not say which.
    pub(super) fn claims(&self) -> bool {
        !self.0.resource_claims.is_empty()
    }

    fn with_gpus(&self) -> impl Iterator<Item = &Container> {
        // One that runs before the others, or beside them, has its devices like any.
        let all = self.0.containers.iter().chain(&self.0.init_containers);
        all.filter(|container| has_gpu(container))
    }

    /// The products of which it may get one: by its node selector, or by the node affinity that is
    /// required. None where it may get any.
    pub(super) fn products(&self) -> BTreeSet<String> {
        if let Some(product) = self.0.node_selector.get(PRODUCT) {
            return BTreeSet::from([product.clone()]);
        }
        let mut products = BTreeSet::new();
        let required =
            "/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
        let terms = self.0.affinity.pointer(required).and_then(Value::as_array);
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
}

fn has_gpu(container: &Container) -> bool {
    let Resources { limits, requests } = &container.resources;
    let mut asked = limits.iter().chain(requests);
    asked.any(|(name, amount)| name.starts_with(RESOURCES) && !is_zero(amount))
}

fn is_zero(amount: &Value) -> bool {
    amount.as_str() == Some("0") || amount.as_u64() == Some(0)
}

/// The text under a key; empty where there is none.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(spec: Value) -> Object {
        Object::deserialize(json!({ "kind": "Pod", "spec": spec })).unwrap()
    }

    #[test]
    fn a_container_with_gpus_is_seen_wherever_it_stands() {
        let gpu = |image: &str| json!({ "image": image, "resources": { "requests": { "nvidia.com/gpu": 1 } } });
        let none = json!({ "image": "proxy:1", "resources": { "limits": { "cpu": "1" } } });
        let spec = json!({
            "containers": [none, gpu("b:1"), gpu("b:1")],
            "initContainers": [gpu("a:1"), none],
        });
        let object = object(spec);
        let pod = object.asking().unwrap();
        assert_eq!(pod.images(), BTreeSet::from(["a:1", "b:1"]));
        assert_eq!((pod.containers(), pod.claims()), (3, false));
    }

    #[test]
    fn what_asks_for_no_device_asks_for_nothing() {
        let free =
            json!({ "containers": [{ "resources": { "limits": { "nvidia.com/gpu": "0" } } }] });
        assert!(object(free.clone()).asking().is_none());
        let mut claims = free;
        claims["resourceClaims"] = json!([{ "name": "gpu", "resourceClaimName": "mine" }]);
        let claims = object(claims);
        assert!(claims.asking().is_some_and(|pod| pod.claims()));
    }
}
