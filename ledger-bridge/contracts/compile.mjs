// Compiles AssayLedger with the pinned solc and writes artifacts/AssayLedger.json;
// with --check it fails when the checked-in artefact is not what the sources compile to.
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import solc from "solc";

const SOURCES = ["src/AssayLedger.sol", "src/IAssayLedger.sol"];
const ARTIFACT = new URL("artifacts/AssayLedger.json", import.meta.url);
const here = (path) => new URL(path, import.meta.url);
const sha256 = (text) => createHash("sha256").update(text).digest("hex");

const SETTINGS = {
  optimizer: { enabled: true, runs: 200 },
  viaIR: true,
  evmVersion: "cancun",
  metadata: { bytecodeHash: "none", appendCBOR: false },
  outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
};

function compile() {
  const contents = Object.fromEntries(SOURCES.map((path) => [path, readFileSync(here(path), "utf8")]));
  const sources = Object.fromEntries(SOURCES.map((path) => [path, { content: contents[path] }]));
  const input = { language: "Solidity", sources, settings: SETTINGS };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  for (const problem of output.errors ?? []) console.error(problem.formattedMessage);
  if (output.errors?.length) process.exit(1); // warnings count: there are none today
  const contract = output.contracts["src/AssayLedger.sol"].AssayLedger;
  const artifact = {
    compiler: solc.version(),
    sourcesSha256: sha256(SOURCES.map((path) => `${path}\n${sha256(contents[path])}\n`).join("")),
    abi: contract.abi,
    bytecode: `0x${contract.evm.bytecode.object}`,
    deployedBytecode: `0x${contract.evm.deployedBytecode.object}`,
  };
  return `${JSON.stringify(artifact, null, 1)}\n`;
}

const fresh = compile();
if (!process.argv.includes("--check")) {
  mkdirSync(here("artifacts"), { recursive: true });
  writeFileSync(ARTIFACT, fresh);
  console.log(`wrote artifacts/AssayLedger.json, ${(JSON.parse(fresh).deployedBytecode.length - 2) / 2} bytes deployed`);
} else if (readFileSync(ARTIFACT, "utf8") !== fresh) {
  console.error("artifacts/AssayLedger.json is not what src/ compiles to\nhint: run `node compile.mjs` and commit the result");
  process.exit(1);
} else {
  console.log("artifacts/AssayLedger.json is current");
}
