//! Evidence: what goes with a quote, and what it binds.

use super::*;

/// What the machine is made of is beside the claims, and they name it.
#[test]
fn evidence_carries_the_inventory_of_this_machine() {
    let bench = Bench::new();
    bench.configure("127.0.0.1:0", "state", "");
    let agent = bench.start();
    let signed = bench.connect(&agent, 0).attest([1; 32]);
    let bytes = &signed.vendor().inventory.as_ref().unwrap().0;
    assert_eq!(signed.claims().inventory, Some(digest(&[bytes])));
    let inventory = Inventory::read(bytes).unwrap();
    assert!(inventory.cpu.threads > 0 && inventory.memory_bytes > 0);
    let counted = |id| {
        signed
            .claims()
            .counters
            .iter()
            .any(|counter| counter.id == id)
    };
    assert!(counted(counter::UPTIME_MS) && counted(counter::REGION_READ_IOS));
    // A confined agent still counts what this process can.
    for (path, id) in [
        ("/proc/pressure/io", counter::PRESSURE_IO_SOME_US),
        (
            "/sys/devices/system/edac/mc/mc0/ce_count",
            counter::MEMORY_ERRORS_CORRECTED,
        ),
        ("/sys/class/net/eth0/device", counter::NIC_RX_BYTES),
        ("/sys/block/vda/device", counter::DISK_READ_BYTES),
    ] {
        assert!(
            counted(id) || !std::path::Path::new(path).exists(),
            "{path}"
        );
    }
}

/// A machine whose kernel keeps a list: it goes along whole, and the claims name it.
#[test]
fn the_measurement_list_goes_with_the_quote() {
    let (bench, mut list, path) = Bench::measuring();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    for round in 0..2 {
        let evidence = client.attest([round; 32]);
        let (claimed, carried) = (evidence.claims().ima, &evidence.vendor().ima_log);
        let bytes = list.encode();
        let expected = ImaClaim {
            digest: digest(&[&bytes]),
            first: 0,
            count: list.entries.len() as u64,
        };
        assert_eq!(claimed, Some(expected));
        assert_eq!(carried, &Some(Blob(bytes)));
        // Another program is started: the next quote goes with the longer list.
        let more = ImaEntry::of_content("/usr/bin/two", b"two");
        list.entries.push(more);
        list.write(bench.dir.path()).unwrap();
    }
    // The list is open for good: its name may go, but not all of it may be too long to go along.
    let overlong = vec![0; IMA_LIST_BYTES_MAX + 1];
    std::fs::write(&path, overlong).unwrap();
    let (code, text) = client.refused(attest([9; 32]));
    assert_eq!(code, RefusalCode::Storage, "{text}");
    assert!(text.contains("IMA list"), "{text}");
    drop(agent);
    std::fs::remove_file(&path).unwrap();
    let (code, stderr) = bench.fail(&run());
    assert_eq!(code, 2, "{stderr}");
    assert!(
        stderr.contains("error: IMA list: ") && stderr.contains("ima.list"),
        "{stderr}"
    );
}

/// A program that starts while the TPM is at work is in the quote: the list that goes along has it too.
#[test]
fn what_is_measured_meanwhile_is_in_the_list() {
    let (bench, mut list, _) = Bench::measuring();
    let agent = bench.start();
    let mut client = bench.connect(&agent, 0);
    bench.swtpm.freeze().unwrap();
    client.send(&attest([1; 32])).unwrap();
    // Long enough for the agent to have read the list and to wait for the TPM.
    std::thread::sleep(Duration::from_millis(500));
    list.entries
        .push(ImaEntry::of_content("/usr/bin/two", b"two"));
    list.write(bench.dir.path()).unwrap();
    bench.swtpm.thaw().unwrap();
    let AgentReply::Evidence { bytes } = client.receive().unwrap() else {
        panic!("no evidence")
    };
    let evidence = evidence::open(&bytes, &client.session()).unwrap();
    assert_eq!(evidence.vendor().ima_log, Some(Blob(list.encode())));
    assert_eq!(evidence.claims().ima.map(|ima| ima.count), Some(3));
}

#[test]
fn one_quote_may_serve_several_hypernodes_each_with_its_own_nonce() {
    let bench = Bench::new();
    let agent = bench.start();
    let clients: Vec<Client> = (0..2).map(|member| bench.connect(&agent, member)).collect();
    let threads: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(n, mut client)| {
            std::thread::spawn(move || {
                let nonce = [n as u8; 32];
                let nonces = client.attest(nonce).claims().nonces.clone();
                assert!(nonces.contains(&(HyperNodeId(client.key), Nonce(nonce))));
            })
        })
        .collect();
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

/// The report is of the batch in the claims, whoever is in it, of the session key and of the attestation key.
#[test]
fn a_report_binds_the_batch_it_is_sent_with() {
    let bench = Bench::new();
    let echo = |data: [u8; 64]| (data.to_vec(), Vec::new());
    let reports = bench.path("reports");
    let entry = TsmEntry::start(&reports, "assay-agent", "sev_guest", echo).unwrap();
    let section = format!("[snp]\nsource = \"configfs-tsm\"\npath = {reports:?}\n");
    bench.configure("127.0.0.1:0", "state", &section);
    let agent = bench.start();
    let clients: Vec<Client> = (0..2).map(|member| bench.connect(&agent, member)).collect();
    let bound = |evidence: &SignedEvidence| {
        let (claims, snp) = (evidence.claims(), evidence.vendor().snp.as_ref().unwrap());
        let batch = nonce_batch(&claims.nonces);
        let data = snp_report_data(&batch, &claims.session_key, &claims.ak_name);
        assert_eq!(snp.report.0, data);
        assert_eq!(claims.snp_report, Some(digest(&[&data])));
        // The table without an entry, and no host to ask for chips.
        assert_eq!(snp.certificates.0, [0; 24]);
        assert_eq!(claims.chip_ids, None);
    };
    std::thread::scope(|scope| {
        for (n, mut client) in clients.into_iter().enumerate() {
            scope.spawn(move || bound(&client.attest([n as u8; 32])));
        }
    });
    // A source that fails costs the report and nothing else.
    entry.remake(|_| (Vec::new(), Vec::new()));
    let mut client = bench.connect(&agent, 0);
    let evidence = client.attest([9; 32]);
    assert_eq!(evidence.vendor().snp, None);
    assert_eq!(evidence.claims().snp_report, None);
    client.probe([3; 32]);
}
