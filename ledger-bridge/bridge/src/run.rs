//! `assay-bridge run`: the ledger (when this process owns it), the board and the poster, for the network's whole life.

use anyhow::{Context, Result};
use assay_aggregate::inputs::History;
use assay_ledger::embedded::{EmbeddedChain, SystemClock};
use assay_ledger::rpc::{self, RpcChain};
use assay_ledger::{AssayLedger, Chain, Finality, LedgerKey, RemoteSigner, TxSigner};
use assay_protocol::cose::Signer;
use assay_protocol::ids::NetworkId;
use assay_protocol::params::NetworkParams;
use assay_transport::identity::Identity;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::board::Board;
use crate::board::heard::Heard;
use crate::board::server::{self, Limits};
use crate::config::{Config, KeySource, LedgerSection, StateSection, chain_config};
use crate::log;
use crate::metrics::{self, Metrics};
use crate::poster::Poster;
use crate::store::{Access, Store};
use crate::system_now;

const STEP_PAUSE: Duration = Duration::from_millis(200);
/// A look for the metrics asks the ledger four things.
const SAMPLE_PAUSE: Duration = Duration::from_secs(1);
/// Longest pause between two looks at who has registered; a call for each of them.
const ROSTERS_PAUSE_MAX: Duration = Duration::from_secs(30);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);

/// Runs until SIGINT or SIGTERM. Everything acknowledged is durable, so stopping needs no ceremony.
pub async fn run(config: Config) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    tokio::select! {
        result = serve(config) => result,
        _ = terminate.recv() => Ok(()),
        _ = tokio::signal::ctrl_c() => Ok(()),
    }
}

async fn serve(config: Config) -> Result<()> {
    let (chain, rpc) = open_ledger(&config.ledger).await?;
    let network = network(config, chain);
    tokio::select! {
        result = network => result,
        result = rpc => result.context("ledger RPC"),
    }
}

type Task = std::pin::Pin<Box<dyn Future<Output = std::io::Result<()>> + Send>>;

/// The ledger, and the task that serves it to the others if it is ours.
async fn open_ledger(section: &LedgerSection) -> Result<(Arc<dyn Chain>, Task)> {
    match section.clone() {
        LedgerSection::Embedded {
            path,
            chain_id,
            listen,
            accounts,
        } => {
            let config = chain_config(chain_id, &accounts);
            let chain: Arc<dyn Chain> = Arc::new(EmbeddedChain::open(&path, &config, SystemClock)?);
            let listener = TcpListener::bind(listen)
                .await
                .with_context(|| format!("ledger on {listen}"))?;
            let height = chain.height()?;
            log::say(format!(
                "ledger: chain {chain_id}, block {height}, http://{listen}"
            ));
            Ok((chain.clone(), Box::pin(rpc::serve(chain, listener))))
        }
        LedgerSection::Rpc { url, .. } => {
            let options = section.rpc_options();
            let connect = move || RpcChain::connect_with(&url, &options);
            let chain = tokio::task::spawn_blocking(connect)
                .await
                .context("ledger")??;
            Ok((Arc::new(chain), Box::pin(std::future::pending())))
        }
    }
}

/// Board and poster, as soon as the network exists.
async fn network(config: Config, chain: Arc<dyn Chain>) -> Result<()> {
    let params = wait_for_network(&config).await?;
    let identity = Identity::load(&config.board.key)?;
    let store = {
        let (config, network) = (config.clone(), params.network_id());
        let open = move || open_store(&config, network);
        Arc::new(tokio::task::spawn_blocking(open).await.context("state")??)
    };
    let ledger = {
        let contract = params.contract;
        let open = move || AssayLedger::at(chain, contract);
        tokio::task::spawn_blocking(open)
            .await
            .context("ledger")??
    };
    let heard = Heard::on(ledger.reading(Finality::Finalized));
    let poster = {
        let (config, params, store) = (config.clone(), params.clone(), Arc::clone(&store));
        let open = move || open_poster(&config, &params, store, ledger);
        tokio::task::spawn_blocking(open)
            .await
            .context("poster")??
    };
    let listen = config.board.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("board on {listen}"))?;
    let pause = Duration::from_millis(config.posting.poll_ms.max(10));
    let key = assay_protocol::ids::HyperNodeId(identity.public_key());
    let network = params.network_id();
    log::say(format!("board: {listen}, key {key}, network {network}"));
    let metrics = Arc::new(Metrics::default());
    let watch = watch(&config, Arc::clone(&metrics)).await?;
    std::thread::Builder::new()
        .name("poster".into())
        .spawn(move || post_for_ever(poster, pause, &metrics))
        .context("poster thread")?;
    let board = Arc::new(Board::new(params, store, heard));
    tokio::spawn(read_rosters(Arc::clone(&board)));
    tokio::select! {
        result = server::serve(board, &identity, listener, system_now, Limits::default()) => result,
        result = watch => result.context("metrics"),
    }
}

/// Who is heard on the board follows the ledger.
async fn read_rosters(board: Arc<Board>) {
    let pause = Duration::from_millis(board.params().epoch_ms / 8);
    let pause = pause.clamp(STEP_PAUSE, ROSTERS_PAUSE_MAX);
    let mut said = String::new();
    loop {
        let refreshed = Arc::clone(&board);
        let read = tokio::task::spawn_blocking(move || refreshed.refresh(system_now())).await;
        if let Ok(Err(error)) = read {
            let line = format!("board: who is heard: {error}");
            if line != said {
                log::say(&line);
                said = line;
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// The task that answers Prometheus, if it is wanted.
async fn watch(config: &Config, metrics: Arc<Metrics>) -> Result<Task> {
    let Some(section) = config.metrics else {
        return Ok(Box::pin(std::future::pending()));
    };
    let listen = section.listen;
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("metrics on {listen}"))?;
    log::say(format!(
        "metrics: http://{}/metrics",
        listener.local_addr()?
    ));
    Ok(Box::pin(metrics::serve(metrics, listener)))
}

async fn wait_for_network(config: &Config) -> Result<NetworkParams> {
    if !config.network.exists() {
        log::say(format!("setup: waiting for {}", config.network.display()));
    }
    while !config.network.exists() {
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(config.params()?)
}

fn open_poster(
    config: &Config,
    params: &NetworkParams,
    store: Arc<Store>,
    ledger: AssayLedger,
) -> Result<Poster> {
    let history = History::new(params, config.load_classes()?)?;
    let signer = signer(&config.ledger_key)?;
    let settings = config.posting.settings();
    let poster = Poster::with(store, ledger, signer, history, settings)?;
    Ok(match config.posting.convict {
        true => poster.convicting(),
        false => poster,
    })
}

/// Whoever signs transactions.
pub fn signer(source: &KeySource) -> Result<Arc<dyn TxSigner>> {
    Ok(match source {
        KeySource::File(path) => Arc::new(LedgerKey::from_file(path)?),
        KeySource::Keystore(source) => Arc::new(LedgerKey::from_keystore(
            &source.keystore,
            &source.password_file,
        )?),
        KeySource::Signer(source) => Arc::new(RemoteSigner::new(
            &source.signer,
            source.ca.as_deref(),
            source.address,
        )?),
    })
}

/// The state, in a file or a database.
pub fn open_store(config: &Config, network: NetworkId) -> Result<Store> {
    let Some(state) = &config.state else {
        return Ok(Store::open(&config.state_dir, network)?);
    };
    let password = state_password(state)?;
    let by = access(state, password.as_deref());
    Ok(Store::connect(&state.url, by, network)?)
}

/// The state of a bridge that may be running, for reading.
pub fn open_store_for_reading(config: &Config, network: NetworkId) -> Result<Store> {
    let Some(state) = &config.state else {
        return state_for_reading(&config.state_dir, network);
    };
    let password = state_password(state)?;
    let by = access(state, password.as_deref());
    Ok(Store::connect_for_reading(&state.url, by, network)?)
}

/// The state in a folder, which somebody named: that it is missing is not the database's error.
pub fn state_for_reading(folder: &Path, network: NetworkId) -> Result<Store> {
    std::fs::read_dir(folder).with_context(|| format!("bridge state {}", folder.display()))?;
    Ok(Store::open_for_reading(folder, network)?)
}

fn access<'a>(state: &'a StateSection, password: Option<&'a str>) -> Access<'a> {
    let ca = state.ca.as_deref();
    Access { password, ca }
}

fn state_password(state: &StateSection) -> Result<Option<String>> {
    let file = state.password_file.as_deref();
    Ok(file.map(assay_ledger::read_password).transpose()?)
}

/// A new line only when something new is to be said; errors are retried with growing pauses.
fn post_for_ever(mut poster: Poster, step_pause: Duration, metrics: &Metrics) {
    let mut said = String::new();
    let mut pause = step_pause;
    let mut sampled: Option<Instant> = None;
    loop {
        let stepped = poster.step(system_now());
        if sampled.is_none_or(|at| at.elapsed() >= SAMPLE_PAUSE) {
            sampled = Some(Instant::now());
            let sample = poster.sample(system_now());
            sample.into_iter().for_each(|sample| metrics.put(sample));
        }
        for note in poster.take_notes() {
            log::say(note);
        }
        let line = match stepped {
            Ok(step) => {
                pause = step_pause;
                let moved = !step.waits();
                let line = step.to_string();
                if moved {
                    log::say(&line);
                    said.clear();
                    continue;
                }
                line
            }
            Err(error) => {
                metrics.step_failed();
                pause = (pause * 2).min(RETRY_PAUSE_MAX);
                format!("poster: {}", crate::chain_of(&error))
            }
        };
        if line != said {
            log::say(&line);
            said = line;
        }
        std::thread::sleep(pause);
    }
}

/// A ledger for reading commands: the running bridge's, else the chain's file itself.
pub fn ledger_for_reading(config: &Config, params: &NetworkParams) -> Result<AssayLedger> {
    let remote = RpcChain::connect_with(&config.ledger.url(), &config.ledger.rpc_options());
    let chain: Arc<dyn Chain> = match (remote, &config.ledger) {
        (Ok(chain), _) => Arc::new(chain),
        (Err(_), LedgerSection::Embedded { path, chain_id, .. }) => {
            Arc::new(EmbeddedChain::open_existing(path, *chain_id, SystemClock)?)
        }
        (Err(error), LedgerSection::Rpc { .. }) => return Err(error.into()),
    };
    Ok(AssayLedger::at(chain, params.contract)?)
}
