//! `/proc/PID/cgroup` → where the kernel says that a process belongs.
//!
//! Only the part of a path that the system itself made is believed: what a user or a workload may
//! create below its own delegated subtree can look like anything. So each form is anchored at the
//! root, the unit is the outermost one, and two answers are no answer.

use super::process::Unknown;

mod token;

use token::{container_id, pod_uid, unescape};

/// Where a process belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A container of a pod; the container is not known for a process of the sandbox.
    Pod {
        pod_uid: String,
        container_id: Option<String>,
    },
    /// A container outside of Kubernetes, and the unit around it if it has one.
    Container { id: String, unit: Option<String> },
    /// A Slurm job: its number, or its SLUID where Slurm uses these.
    SlurmJob { id: String },
    /// A libvirt domain.
    VirtualMachine { domain: String },
    /// A unit of the system's own systemd.
    Unit { name: String },
    /// None of these.
    Bare,
}

/// Reads the file. With cgroup v1 each controller has a line: all that name a workload must name
/// the same one.
pub(super) fn parse(file: &str) -> Result<Place, Unknown> {
    let mut found = Place::Bare;
    for line in file.lines() {
        let path = line.splitn(3, ':').nth(2).ok_or(Unknown::Malformed)?;
        let place = place(path)?;
        found = match (found, place) {
            (found, Place::Bare) => found,
            (Place::Bare, place) => place,
            (found, place) if found == place => found,
            // With v1 some controllers stay with the service that runs the job.
            (found, Place::Unit { .. }) if !matches!(found, Place::Unit { .. }) => found,
            (Place::Unit { .. }, place) if !matches!(place, Place::Unit { .. }) => place,
            _ => return Err(Unknown::Ambiguous),
        };
    }
    Ok(found)
}

fn place(path: &str) -> Result<Place, Unknown> {
    let path = path.strip_prefix('/').ok_or(Unknown::Malformed)?;
    if path.ends_with(" (deleted)") {
        return Err(Unknown::Gone);
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.contains(&"..") {
        return Err(Unknown::CgroupNamespace);
    }
    if let Some(id) = slurm_job(&parts) {
        return Ok(Place::SlurmJob { id });
    }
    if of_kubelet(&parts) {
        return pod(&parts);
    }
    let unit = unit(&parts);
    if let Some(id) = container(&parts, unit)? {
        let unit = unit.map(str::to_owned);
        return Ok(Place::Container { id, unit });
    }
    let Some(unit) = unit else {
        return Ok(Place::Bare);
    };
    Ok(match virtual_machine(&parts, unit) {
        Some(domain) => Place::VirtualMachine { domain },
        None => Place::Unit {
            name: unit.to_owned(),
        },
    })
}

/// `/system.slice/[NODE_]slurmstepd.scope/{job_N | SLUID}/step_…` and, with v1,
/// `/slurm[_NODE]/uid_U/job_N[/step_…]`. What stands below belongs to the job's own user.
fn slurm_job(parts: &[&str]) -> Option<String> {
    let number = |part: &str| {
        let id = part.strip_prefix("job_")?;
        let digits = (1..=20).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| id.to_owned())
    };
    let sluid = |part: &str| {
        let id = part.strip_prefix('s')?;
        let upper = |b: u8| b.is_ascii_digit() || b.is_ascii_uppercase();
        ((8..=24).contains(&id.len()) && id.bytes().all(upper)).then(|| part.to_owned())
    };
    match parts {
        ["system.slice", scope, job, step, ..]
            if (*scope == "slurmstepd.scope" || scope.ends_with("_slurmstepd.scope"))
                && step.starts_with("step_") =>
        {
            number(job).or_else(|| sluid(job))
        }
        [root, uid, job, ..]
            if (*root == "slurm" || root.starts_with("slurm_")) && uid.starts_with("uid_") =>
        {
            number(job)
        }
        _ => None,
    }
}

/// Whether the kubelet made the subtree: its own root with either driver, the parent that kind
/// gives it, or containerd's unit where the drivers of the two disagree.
fn of_kubelet(parts: &[&str]) -> bool {
    match parts {
        ["kubepods.slice" | "kubepods", ..]
        | ["kubelet.slice", "kubelet-kubepods.slice", ..]
        | ["kubelet", "kubepods", ..] => true,
        ["system.slice", "containerd.service", part, ..] => part.starts_with("kubepods"),
        _ => false,
    }
}

/// `…pod<uid>[.slice]/<runtime>-<id>.scope` or `/pod<uid>/<id>`, wherever the levels of quality
/// of service stand. A second pod or container further down is ambiguous.
fn pod(parts: &[&str]) -> Result<Place, Unknown> {
    let mut pods: Vec<String> = Vec::new();
    let mut containers: Vec<String> = Vec::new();
    for part in parts {
        pods.extend(pod_uid(part));
        containers.extend(container_id(part));
    }
    match (&pods[..], &containers[..]) {
        ([pod_uid], [] | [_]) => Ok(Place::Pod {
            pod_uid: pod_uid.clone(),
            container_id: containers.first().cloned(),
        }),
        ([], []) => Ok(Place::Bare),
        _ => Err(Unknown::Ambiguous),
    }
}

/// The outermost unit: the one that the system's own systemd made. Units further in are made by a
/// user's systemd, or by whoever was delegated the subtree, and may have any name.
fn unit<'a>(parts: &[&'a str]) -> Option<&'a str> {
    let unit = parts.iter().find(|part| !part.ends_with(".slice"))?;
    let known = [".service", ".scope"].iter().any(|end| unit.ends_with(end));
    known.then_some(*unit)
}

/// `<runtime>-<id>.scope` as outermost unit, `/<runtime>/<id>`, and rootless Podman's
/// `libpod-<id>` below a user's slice.
fn container(parts: &[&str], unit: Option<&str>) -> Result<Option<String>, Unknown> {
    let runtime = |part: &str| {
        let name = part.split('-').next().unwrap_or_default();
        ["docker", "libpod", "nerdctl", "crio", "cri"].contains(&name)
    };
    let of_user = parts.first() == Some(&"user.slice");
    let may = match parts {
        [
            "docker" | "libpod_parent" | "default" | "k8s.io" | "moby",
            ..,
        ] => true,
        _ if of_user => parts.iter().any(|part| part.starts_with("libpod-")),
        _ => unit.is_some_and(|unit| runtime(unit) && container_id(unit).is_some()),
    };
    if !may {
        return Ok(None);
    }
    let named = |part: &&&str| !of_user || part.starts_with("libpod-");
    let ids: Vec<String> = parts
        .iter()
        .filter(named)
        .filter_map(|part| container_id(part))
        .collect();
    match &ids[..] {
        [] => Ok(None),
        [id] => Ok(Some(id.clone())),
        _ => Err(Unknown::Ambiguous),
    }
}

/// `/machine.slice/machine-qemu\x2d<n>\x2d<name>.scope`: the name, its escapes undone.
fn virtual_machine(parts: &[&str], unit: &str) -> Option<String> {
    if parts.first() != Some(&"machine.slice") {
        return None;
    }
    let escaped = unit.strip_prefix("machine-")?.strip_suffix(".scope")?;
    let name = unescape(escaped)?;
    let (number, domain) = name.strip_prefix("qemu-")?.split_once('-')?;
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    (digits && !domain.is_empty()).then(|| domain.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ID: &str = "3e1b9f4ac0d25e6787b0c2a9d4f1e8375a6b9c0d1e2f30415263748596a7b8c9";
    const UID: &str = "0f2d4a6c-8e1b-4c3d-9a5f-7b1e2d3c4f50";

    fn v2(path: &str) -> Result<Place, Unknown> {
        parse(&format!("0::{}\n", path.replace("ID", ID)))
    }

    fn of_pod(container: Option<&str>) -> Result<Place, Unknown> {
        Ok(Place::Pod {
            pod_uid: UID.into(),
            container_id: container.map(str::to_owned),
        })
    }

    fn job(id: &str) -> Result<Place, Unknown> {
        Ok(Place::SlurmJob { id: id.into() })
    }

    fn in_unit(name: &str) -> Result<Place, Unknown> {
        Ok(Place::Unit { name: name.into() })
    }

    #[test]
    fn pods_are_found_with_either_driver_and_any_quality_of_service() {
        let low = UID.replace('-', "_");
        for path in [
            format!(
                "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{low}.slice/cri-containerd-ID.scope"
            ),
            format!("/kubepods.slice/kubepods-pod{low}.slice/crio-ID.scope"),
            format!("/kubepods/besteffort/pod{UID}/ID"),
            format!("/kubepods/pod{UID}/ID"),
            format!(
                "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod{low}.slice/cri-containerd-ID.scope"
            ),
            format!(
                "/system.slice/containerd.service/kubepods-burstable-pod{low}.slice:cri-containerd:ID"
            ),
            format!("/kubepods/pod{UID}/ID/init.scope"),
        ] {
            assert_eq!(v2(&path), of_pod(Some(ID)), "{path}");
        }
        assert_eq!(v2(&format!("/kubepods/pod{UID}")), of_pod(None));
        let monitor = format!("/kubepods.slice/kubepods-pod{low}.slice/crio-conmon-ID.scope");
        assert_eq!(v2(&monitor), of_pod(None));
        let from_file = "/kubepods/burstable/pod8f14e45fceea167a5a36dedd4bea2543/ID";
        assert!(matches!(v2(from_file), Ok(Place::Pod { pod_uid, .. })
            if pod_uid == "8f14e45fceea167a5a36dedd4bea2543"));
    }

    #[test]
    fn two_containers_or_two_pods_are_no_answer() {
        let other = ID.replace('3', "4");
        for path in [
            format!("/kubepods/pod{UID}/ID/docker/{other}"),
            format!("/kubepods/pod{UID}/ID/pod{}/x", UID.replace('0', "1")),
            "/kubepods/ID".to_owned(),
            format!("/docker/ID/docker/{other}"),
            format!("/system.slice/docker-ID.scope/kubepods/pod{UID}/{other}"),
        ] {
            assert_eq!(v2(&path), Err(Unknown::Ambiguous), "{path}");
        }
    }

    #[test]
    fn slurm_jobs_are_found_by_number_and_by_sluid() {
        for (path, id) in [
            (
                "/system.slice/slurmstepd.scope/job_42/step_0/user/task_0",
                "42",
            ),
            (
                "/system.slice/node7_slurmstepd.scope/job_42/step_batch/user",
                "42",
            ),
            (
                "/system.slice/slurmstepd.scope/s6A7N0GYSPG000/step_0/user/task_1",
                "s6A7N0GYSPG000",
            ),
            ("/slurm/uid_1000/job_42/step_0/task_0", "42"),
            ("/slurm_node7/uid_1000/job_42", "42"),
            // What the job makes below its own step changes nothing.
            (
                "/system.slice/slurmstepd.scope/job_42/step_0/user/job_43/step_0",
                "42",
            ),
        ] {
            assert_eq!(v2(path), job(id), "{path}");
        }
        assert_eq!(
            v2("/system.slice/slurmstepd.scope/system"),
            in_unit("slurmstepd.scope")
        );
    }

    #[test]
    fn a_look_alike_below_a_users_own_subtree_is_not_believed() {
        let own = "/user.slice/user-1000.slice/user@1000.service";
        for tail in [
            "/system.slice/slurmstepd.scope/job_42/step_0/user".to_owned(),
            "/slurm/uid_0/job_42/step_0".to_owned(),
            format!(
                "/kubepods.slice/kubepods-pod{}.slice/cri-containerd-ID.scope",
                UID.replace('-', "_")
            ),
            format!("/kubepods/pod{UID}/ID"),
            "/docker-ID.scope".to_owned(),
            "/app.slice/training.service".to_owned(),
            "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope".to_owned(),
        ] {
            assert_eq!(
                v2(&format!("{own}{tail}")),
                in_unit("user@1000.service"),
                "{tail}"
            );
        }
        for (path, unit) in [
            (
                "/system.slice/web.service/slurmstepd.scope/job_42/step_0",
                "web.service",
            ),
            ("/system.slice/web.service/kubepods/pod/ID", "web.service"),
            ("/system.slice/web.service/docker-ID.scope", "web.service"),
        ] {
            assert_eq!(v2(path), in_unit(unit), "{path}");
        }
    }

    #[test]
    fn containers_units_and_machines_are_told_apart() {
        let container = |unit: Option<&str>| {
            Ok(Place::Container {
                id: ID.into(),
                unit: unit.map(|unit| unit.replace("ID", ID)),
            })
        };
        assert_eq!(
            v2("/system.slice/docker-ID.scope"),
            container(Some("docker-ID.scope"))
        );
        assert_eq!(v2("/docker/ID"), container(None));
        assert_eq!(
            v2("/machine.slice/libpod-ID.scope/container"),
            container(Some("libpod-ID.scope"))
        );
        assert_eq!(
            v2("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope"),
            container(Some("user@1000.service"))
        );
        assert_eq!(
            v2("/machine.slice/machine-qemu\\x2d12\\x2dfine\\x2dtune.scope/libvirt/emulator"),
            Ok(Place::VirtualMachine {
                domain: "fine-tune".into()
            })
        );
        assert_eq!(
            v2("/system.slice/run-u77.service"),
            in_unit("run-u77.service")
        );
        assert_eq!(
            v2("/user.slice/user-1000.slice/session-3.scope"),
            in_unit("session-3.scope")
        );
        assert_eq!(
            v2("/system.slice/crio-conmon-ID.scope"),
            in_unit(&format!("crio-conmon-{ID}.scope"))
        );
        assert_eq!(v2("/"), Ok(Place::Bare));
        assert_eq!(v2("/my/own/group"), Ok(Place::Bare));
    }

    #[test]
    fn v1_lines_must_agree_and_a_service_around_a_job_is_no_conflict() {
        let lines = "9:devices:/slurm/uid_1000/job_42/step_0\n\
                     4:memory:/slurm/uid_1000/job_42/step_0/task_0\n\
                     1:name=systemd:/system.slice/slurmd.service\n0::/system.slice/slurmd.service\n";
        assert_eq!(parse(lines), job("42"));
        let torn = "9:devices:/slurm/uid_1000/job_42\n4:memory:/slurm/uid_1000/job_43\n";
        assert_eq!(parse(torn), Err(Unknown::Ambiguous));
        let torn = "2:cpu:/system.slice/a.service\n1:name=systemd:/system.slice/b.service\n";
        assert_eq!(parse(torn), Err(Unknown::Ambiguous));
    }

    #[test]
    fn a_view_from_inside_another_cgroup_namespace_says_so() {
        assert_eq!(
            v2("/../../system.slice/x.service"),
            Err(Unknown::CgroupNamespace)
        );
        assert_eq!(v2("/system.slice/x.service (deleted)"), Err(Unknown::Gone));
        assert_eq!(parse("0:no path\n"), Err(Unknown::Malformed));
        assert_eq!(parse("0::relative\n"), Err(Unknown::Malformed));
    }

    proptest! {
        #[test]
        fn no_file_makes_the_parser_panic(file in "\\PC{0,200}", path in "(/[a-z_.:\\\\é0-9-]{0,20}){0,6}") {
            let _ = parse(&file);
            let _ = parse(&format!("0::{path}"));
        }

        #[test]
        fn nothing_below_a_users_slice_becomes_a_pod_or_a_job(tail in "(/[a-z_.0-9-]{0,20}){0,6}") {
            let place = parse(&format!("0::/user.slice/user-7.slice/user@7.service{tail}"));
            let forged = matches!(place, Ok(Place::Pod { .. } | Place::SlurmJob { .. }));
            prop_assert!(!forged);
        }
    }
}
