//! What `/pods` says, cut down to names.

use std::collections::HashMap;

use serde::Deserialize;

/// Most pods kept: the kubelet's own limit is 110, sites raise it to 250 or 500.
const MAX_PODS: usize = 1_024;

/// Most containers kept of one pod.
const MAX_CONTAINERS: usize = 64;

/// Longest name taken; Kubernetes allows 253 bytes. An image's may be longer.
const MAX_NAME_BYTES: usize = 512;

/// The names of one pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its service account; empty where the pod names none.
    pub service_account: String,
    images: HashMap<String, String>,
}

impl Pod {
    /// The image of a container, by the 64 digits of its id; empty when the kubelet does not
    /// know the container.
    pub fn image(&self, container_id: &str) -> &str {
        self.images.get(container_id).map_or("", String::as_str)
    }
}

/// The pods of a host by uid.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodTable(HashMap<String, Pod>);

impl PodTable {
    /// Gives the pod of a uid.
    pub fn get(&self, uid: &str) -> Option<&Pod> {
        self.0.get(uid)
    }

    /// Reads a `v1.PodList`. Two pods of one uid are both left out: neither is known to be meant.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let list: List = serde_json::from_slice(json)?;
        let mut pods: HashMap<String, Option<Pod>> = HashMap::new();
        for item in list.items.into_iter().take(MAX_PODS) {
            let uid = item.metadata.uid.clone();
            let pod = item.pod().filter(|_| !uid.is_empty());
            pods.entry(uid).and_modify(|pod| *pod = None).or_insert(pod);
        }
        let known = |(uid, pod): (String, Option<Pod>)| Some((uid, pod?));
        Ok(Self(pods.into_iter().filter_map(known).collect()))
    }
}

#[derive(Deserialize)]
struct List {
    // The kubelet of a host without pods says `null`.
    #[serde(deserialize_with = "null_is_empty")]
    items: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
    #[serde(default)]
    status: Status,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Metadata {
    uid: String,
    name: String,
    namespace: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    service_account_name: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Status {
    #[serde(deserialize_with = "null_is_empty")]
    container_statuses: Vec<Container>,
    #[serde(deserialize_with = "null_is_empty")]
    init_container_statuses: Vec<Container>,
    #[serde(deserialize_with = "null_is_empty")]
    ephemeral_container_statuses: Vec<Container>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Container {
    #[serde(rename = "containerID")]
    id: String,
    image: String,
}

fn null_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

impl Item {
    /// `None` for a pod whose names cannot be.
    fn pod(self) -> Option<Pod> {
        let fits = |name: &str| name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control);
        let Metadata {
            name, namespace, ..
        } = self.metadata;
        let service_account = self.spec.service_account_name;
        if ![&name, &namespace, &service_account]
            .into_iter()
            .all(|name| fits(name))
        {
            return None;
        }
        let all = [
            self.status.container_statuses,
            self.status.init_container_statuses,
            self.status.ephemeral_container_statuses,
        ];
        let images = all
            .into_iter()
            .flatten()
            .filter(|container| fits(&container.image) && fits(&container.id))
            .take(MAX_CONTAINERS)
            .filter_map(|container| {
                // `containerd://<64 digits>`; empty until the container runs.
                let (_, id) = container.id.rsplit_once('/')?;
                Some((id.to_owned(), container.image))
            })
            .collect();
        Some(Pod {
            namespace,
            name,
            service_account,
            images,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;

    const PODS: &str = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[
        {"metadata":{"name":"train-0","namespace":"northwind","uid":"u-1","labels":{"a":"b"}},
         "spec":{"serviceAccountName":"trainer","containers":[{"name":"c","image":"asked:for"}]},
         "status":{"phase":"Running","containerStatuses":[
            {"name":"c","containerID":"containerd://abc","image":"registry.example/train:3","imageID":"x"}]}},
        {"metadata":{"name":"bare","namespace":"default","uid":"u-2"},"status":{"containerStatuses":null}},
        {"metadata":{"name":"one","namespace":"a","uid":"u-3"}},
        {"metadata":{"name":"two","namespace":"b","uid":"u-3"}}]}"#;

    #[test]
    fn a_pods_names_are_read_and_the_rest_is_passed_over() {
        let pods = PodTable::parse(PODS.as_bytes()).unwrap();
        let pod = pods.get("u-1").unwrap();
        assert_eq!(
            (pod.namespace.as_str(), pod.name.as_str()),
            ("northwind", "train-0")
        );
        assert_eq!(pod.service_account, "trainer");
        assert_eq!(pod.image("abc"), "registry.example/train:3");
        assert_eq!(pod.image("other"), "");
        assert_eq!(pods.get("u-2").unwrap().service_account, "");
        assert_eq!(
            PodTable::parse(br#"{"items":null}"#).unwrap(),
            PodTable::default()
        );
    }

    #[test]
    fn two_pods_of_one_uid_are_no_answer() {
        let pods = PodTable::parse(PODS.as_bytes()).unwrap();
        assert_eq!(pods.get("u-3"), None);
    }

    #[test]
    fn what_is_no_list_of_pods_is_refused() {
        for text in [
            "",
            "[]",
            "{}",
            "{\"items\":7}",
            "{\"items\":[{}]}",
            "Unauthorized",
        ] {
            assert!(PodTable::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
