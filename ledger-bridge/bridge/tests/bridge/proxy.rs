//! A JSON-RPC proxy in front of a node that does to some calls what networks and liars do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use assay_testbed::rpc_call::http_post;
use assay_testbed::web::{Reply, Request, Web};
use serde_json::{Value, json};

/// What happens to calls of one method.
#[derive(Debug, Clone)]
pub enum Fault {
    /// They never reach the node, and nobody answers.
    CutBefore,
    /// They reach the node; the answer is lost.
    CutAfter,
    /// They never reach the node; this is the result.
    Say(Value),
    /// Whatever the node says, this is the result.
    Instead(Value),
    /// The answer comes after this long.
    Late(Duration),
    /// These bytes come back.
    Bytes(Vec<u8>),
}

pub struct Proxy {
    web: Web,
    faults: Arc<Mutex<BTreeMap<String, Fault>>>,
    calls: Mutex<mpsc::Receiver<(String, Value)>>,
}

/// How long a cut wire stays silent: longer than anybody waits.
const SILENCE: Duration = Duration::from_secs(120);

impl Proxy {
    pub fn before(node: SocketAddr) -> Self {
        let faults: Arc<Mutex<BTreeMap<String, Fault>>> = Arc::default();
        let (sender, calls) = mpsc::channel();
        let (active, sender) = (faults.clone(), Mutex::new(sender));
        let web = Web::plain(move |request| answer(node, request, &active, &sender)).unwrap();
        Self {
            web,
            faults,
            calls: Mutex::new(calls),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.web.address()
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// From now on calls of this method have this fault.
    pub fn fault(&self, method: &str, fault: Fault) {
        self.faults.lock().unwrap().insert(method.to_owned(), fault);
    }

    pub fn repair(&self) {
        self.faults.lock().unwrap().clear();
    }

    /// Waits for the next call of a method and returns its parameters; forgets what came before.
    pub fn await_call(&self, method: &str) -> Value {
        let calls = self.calls.lock().unwrap();
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (called, params) = calls
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .unwrap_or_else(|_| panic!("no {method} within 60 s"));
            if called == method {
                return params;
            }
        }
    }

    /// Calls of a method so far that nobody waited for.
    pub fn calls_of(&self, method: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        calls
            .try_iter()
            .filter(|(called, _)| called == method)
            .count()
    }
}

fn answer(
    node: SocketAddr,
    request: &Request,
    faults: &Mutex<BTreeMap<String, Fault>>,
    calls: &Mutex<mpsc::Sender<(String, Value)>>,
) -> Reply {
    let asked: Value = serde_json::from_slice(&request.body).unwrap();
    // Several at once are of one method.
    let first = asked.get(0).unwrap_or(&asked);
    let method = first["method"].as_str().unwrap().to_owned();
    let fault = faults.lock().unwrap().get(&method).cloned();
    let pass = || Reply::Body(http_post(node, &request.body).unwrap_or_default());
    let say = |result: Value| {
        let to = |one: &Value| json!({"jsonrpc": "2.0", "id": one["id"], "result": result});
        let answer = match asked.as_array() {
            Some(all) => all.iter().map(to).collect(),
            None => to(&asked),
        };
        Reply::Body(answer.to_string().into_bytes())
    };
    let reply = match fault {
        None => pass(),
        Some(Fault::CutBefore) => Reply::Silence(SILENCE),
        Some(Fault::CutAfter) => {
            pass();
            Reply::Silence(SILENCE)
        }
        Some(Fault::Say(result)) => say(result),
        Some(Fault::Instead(result)) => {
            pass();
            say(result)
        }
        Some(Fault::Late(time)) => {
            std::thread::sleep(time);
            pass()
        }
        Some(Fault::Bytes(bytes)) => Reply::Raw(bytes),
    };
    let _ = calls
        .lock()
        .unwrap()
        .send((method, first["params"].clone()));
    reply
}
