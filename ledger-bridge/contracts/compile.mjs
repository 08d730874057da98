// Compiles what is deployed with the pinned solc and writes artifacts/NAME.json for each contract;
// with --check it fails when a checked-in artefact is not what the sources compile to.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

// What is deployed. Callers know some contracts by an interface that says more than the contract's own ABI.
const CONTRACTS = [
  { name: "TestToken" },
  { name: "EcdsaQuorum" },
  { name: "BlsQuorum" },
  { name: "AssayEpochs" },
  { name: "AssayRewards" },
  { name: "AssayStake" },
  { name: "AssayNodes", interface: "IAssayNodes" },
  { name: "AssayReservations" },
  { name: "AssayFaults" },
];
const EVM = "osaka";
const here = (path) => new URL(path, import.meta.url);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

const settings = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: EVM,
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

// An import's text, and note of it: the digest of an artefact is over every source that went into it.
function reader(used) {
  return (path) => {
    const file = here(existsSync(here(path)) ? path : `node_modules/${path}`);
    if (!existsSync(file)) return { error: `no such file: ${path}` };
    used[path] = readFileSync(file, "utf8");
    return { contents: used[path] };
  };
}

// Enums by their numbers: bindings know them as such.
function plain(abi) {
  const type = (key, value) => (key === "internalType" && value.startsWith("enum ") ? "uint8" : value);
  return JSON.parse(JSON.stringify(abi, type));
}

// A contract's ABI and that of the interface, each entry once.
function abiOf(output, name, path, interfaceName) {
  const own = plain(output.contracts[path][name].abi);
  if (!interfaceName) return own;
  const more = plain(output.contracts[`src/interfaces/${interfaceName}.sol`][interfaceName].abi);
  const known = new Set(own.map((entry) => JSON.stringify(entry)));
  return [...own, ...more.filter((entry) => !known.has(JSON.stringify(entry)))];
}

function compile({ name, interface: interfaceName }) {
  const path = `src/${name}.sol`;
  const used = {};
  const load = reader(used);
  const sources = { [path]: { content: load(path).contents } };
  const input = { language: "Solidity", sources, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input), { import: load }));
  // Warnings count, unless they are about the library, whose source is not ours.
  const isOurs = (problem) => problem.severity === "error" || !problem.sourceLocation?.file.startsWith("@openzeppelin/");
  const problems = (output.errors ?? []).filter(isOurs);
  for (const problem of problems) console.error(problem.formattedMessage);
  if (problems.length) process.exit(1);
  const { evm } = output.contracts[path][name];
  const digests = Object.keys(used).sort().map((source) => `${source}\n${sha256(used[source])}\n`);
  const artifact = {
    compiler: solc.version(),
    sourcesSha256: sha256(digests.join("")),
    abi: abiOf(output, name, path, interfaceName),
    bytecode: `0x${evm.bytecode.object}`,
    deployedBytecode: `0x${evm.deployedBytecode.object}`,
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
