//! Devices that an officer declares for a site, against those that its hosts have.

use std::{fs, time::Instant};

use affiant_tests::{Deployment, Host};

use crate::{LIMIT, PATIENT, report};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_officer_declares_for_a_site_is_held_against_its_hosts() {
    let deployment = Deployment::judged_by(&format!("{PATIENT}inventory_grace_ms = 1\n"));
    let token = deployment.token("gpu-1", "1h");
    let (address, ca) = (deployment.address(), deployment.ca());
    let host = Host::enrol_at("hall-2", "gpu-1", &address, &ca, &token).await;
    let mut host = host.unwrap();
    report(&deployment, &mut host, 2).await;
    let file = deployment.path("devices.csv");
    let (file, key) = (file.to_str().unwrap(), deployment.key("alice"));
    let declare = [
        "host",
        "declare",
        "--site",
        "hall-2",
        "--file",
        file,
        "--key",
        key.to_str().unwrap(),
    ];

    fs::write(file, "serial,uuid,model\nS1,,H100\nS1,,H100\n").unwrap();
    let refused = deployment.run(&declare);
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        said.contains("line 3: the serial stands in line 2 too; keep one"),
        "{said}"
    );
    assert!(said.contains("nothing was signed"), "{said}");
    let declared = || deployment.json(&["host", "declared", "--json"]);
    assert_eq!(declared(), serde_json::json!([]));

    // A file that was cut off after its head would take every device away.
    fs::write(file, "serial,uuid,model\n").unwrap();
    let refused = deployment.run(&declare);
    assert_eq!(refused.status.code(), Some(64));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("say --none if that is so"), "{said}");
    assert_eq!(declared(), serde_json::json!([]));
    let key = key.to_str().unwrap();
    let none = [
        "host", "declare", "--site", "hall-3", "--none", "--key", key,
    ];
    let said = deployment.succeed(&none);
    assert!(
        said.contains("alice declared 0 devices of site hall-3"),
        "{said}"
    );

    fs::write(file, "serial,uuid,model\n,GPU-another,H100\nS1,,H100\n").unwrap();
    let said = deployment.succeed(&declare);
    assert!(
        said.contains("alice declared 2 devices of site hall-2"),
        "{said}"
    );
    let waiting = Instant::now();
    let sites = loop {
        report(&deployment, &mut host, 1).await;
        let sites = declared();
        if sites[0]["missing"] == 2 || waiting.elapsed() > LIMIT {
            break sites;
        }
    };
    let site = &sites[0];
    assert_eq!(
        (
            &site["site"],
            &site["declared"],
            &site["seen"],
            &site["unexpected"]
        ),
        (&"hall-2".into(), &2.into(), &0.into(), &1.into()),
        "{site}"
    );
    let kept = deployment.keep_checkpoint("kept");
    let told = deployment.audit(&kept);
    let missing = "INVENTORY_MISSING";
    let due = [missing, missing, "INVENTORY_UNEXPECTED"];
    told.assert(1, "findings", "kept", &due);

    fs::write(file, "serial,uuid,model\n,GPU-gpu-1,H100\n").unwrap();
    deployment.succeed(&declare);
    let waiting = Instant::now();
    while declared()[0]["seen"] != 1 {
        assert!(waiting.elapsed() < LIMIT, "{}", declared());
    }
    assert_eq!(declared()[0]["unexpected"], 0);
    let help = deployment.succeed(&["host", "declare", "--help"]);
    assert!(help.contains("serial,uuid,model"), "{help}");
}
