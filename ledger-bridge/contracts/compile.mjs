// Compiles what is deployed with the pinned solc and writes artifacts/NAME.json for each contract;
// with --check it fails when a checked-in artefact is not what the sources compile to. Both fail when a function, event
// or error of src/ is not described.
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
  outputSelection: { "*": { "*": ["abi", "devdoc", "userdoc", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
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

// A function's, event's or error's signature, as solc names it in its documentation.
function signature({ name, inputs }) {
  const type = ({ type: own, components }) => (components ? own.replace("tuple", `(${components.map(type)})`) : own);
  return `${name}(${inputs.map(type)})`;
}

// Whether NatSpec says anything of an entry of the ABI. What it says of a constant or immutable, it says of the getter.
function isDescribed({ devdoc, userdoc }, entry) {
  const kind = { function: "methods", event: "events", error: "errors" }[entry.type];
  const texts = [devdoc, userdoc].flatMap((doc) => doc[kind]?.[signature(entry)] ?? []);
  if (entry.type === "function") texts.push(devdoc.stateVariables?.[entry.name] ?? {});
  return texts.some(({ notice, details }) => notice || details);
}

// Every function, event and error of every ABI, with the contract that has it.
function entriesOf({ contracts }) {
  const all = Object.entries(contracts).flatMap(([path, named]) =>
    Object.entries(named).map(([name, contract]) => ({ path, name, contract })),
  );
  const named = (abi) => abi.filter((entry) => entry.name);
  return all.flatMap((of) => named(of.contract.abi).map((entry) => ({ ...of, entry })));
}

// What of src/ nothing is said of. What interfaces declare is described there, what the library declares is not ours.
function undescribed(output) {
  const isInterface = ({ path }) => path.startsWith("src/interfaces/");
  const isOurs = ({ path }) => path.startsWith("src/");
  const key = ({ entry }) => `${entry.type} ${signature(entry)}`;
  const entries = entriesOf(output);
  const elsewhere = new Set(entries.filter((of) => isInterface(of) || !isOurs(of)).map(key));
  return entries
    .filter((of) => isInterface(of) || (isOurs(of) && !elsewhere.has(key(of))))
    .filter((of) => !isDescribed(of.contract, of.entry))
    .map(({ path, name, entry }) => `${path}: ${name}.${signature(entry)} has no @notice`);
}

const silent = new Set();

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
  for (const line of undescribed(output)) silent.add(line);
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
for (const line of silent) console.error(line);
process.exit(stale || silent.size ? 1 : 0);
