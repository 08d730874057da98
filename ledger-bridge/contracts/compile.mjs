// Compiles what is deployed with the pinned solc and writes artifacts/NAME.json for each contract;
// with --check it fails when a checked-in artefact is not what the sources compile to.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

// The contract in use, compiled as it was deployed; then those that follow it.
const CONTRACTS = [{ name: "AssayLedger", evmVersion: "cancun" }];
const here = (path) => new URL(path, import.meta.url);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

const settings = (evmVersion) => ({
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion,
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
});

// An import's text, and note of it: the digest of an artefact is over every source that went into it.
function reader(used) {
  return (path) => {
    const file = here(existsSync(here(path)) ? path : `node_modules/${path}`);
    if (!existsSync(file)) return { error: `no such file: ${path}` };
    used[path] = readFileSync(file, "utf8");
    return { contents: used[path] };
  };
}

function compile({ name, evmVersion }) {
  const path = `src/${name}.sol`;
  const used = {};
  const load = reader(used);
  const sources = { [path]: { content: load(path).contents } };
  const input = { language: "Solidity", sources, settings: settings(evmVersion) };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
  if (output.errors?.length) process.exit(1); // warnings count: there are none today
  const contract = output.contracts[path][name];
  const digests = Object.keys(used).sort().map((source) => `${source}\n${sha256(used[source])}\n`);
  const artifact = {
    compiler: solc.version(),
    sourcesSha256: sha256(digests.join("")),
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
  };
  return `${JSON.stringify(artifact, null, 1)}\n`;
}

const check = process.argv.includes("--check");
mkdirSync(here("artifacts"), { recursive: true });
let stale = 0;
for (const contract of CONTRACTS) {
  const file = `artifacts/${contract.name}.json`;
  const fresh = compile(contract);
  if (!check) {
    writeFileSync(here(file), fresh);
    console.log(`wrote ${file}, ${(JSON.parse(fresh).deployedBytecode.length - 2) / 2} bytes deployed`);
  } else if (existsSync(here(file)) && readFileSync(here(file), "utf8") === fresh) {
    console.log(`${file} is current`);
  } else {
    console.error(`${file} is not what src/ compiles to\nhint: run \`node compile.mjs\` and commit the result`);
    stale = 1;
  }
}
process.exit(stale);
