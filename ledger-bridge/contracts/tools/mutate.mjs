#!/usr/bin/env node
// Breaks contracts in one place after the other and looks whether a test fails: a mutant that survives is a check that no
// test holds.
//
//   tools/mutate.mjs [--only reverts|operators] SOURCE ... -- FORGE-TEST-ARGUMENTS
//   tools/mutate.mjs src/AssayNodes.sol src/nodes/*.sol -- --match-path 'test/money/*'
//
// Mutants: the condition before a revert is false; a comparison is its neighbour or its opposite; && and ||, + and -, += and
// -= change places.
// All mutants are compiled at once, each switched on by a number that the code asks forge for, so that a mutant costs a run
// of the tests and no compilation. An operation behind "// equivalent: REASON" on its line is left alone. Works on a copy,
// without the IR pipeline. Lists survivors and exits with 1 if there are any; 2 when the tests fail without any mutant.
import { spawnSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, readdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, relative, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const NEIGHBOUR = { "<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "==", "&&": "||", "||": "&&",
  "+": "-", "-": "+", "+=": "-=", "-=": "+=" };
const SWITCH = `// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.37;
library Mutant {
    address private constant FORGE = address(uint160(uint256(keccak256("hevm cheat code"))));
    function on(uint256 number) internal view returns (bool) {
        (, bytes memory answer) =
            FORGE.staticcall(abi.encodeWithSignature("envOr(string,uint256)", "MUTANT", uint256(0)));
        return abi.decode(answer, (uint256)) == number;
    }
}
`;

/** The syntax tree of one source; imports are not followed. */
const parse = (text) => {
  const settings = { stopAfter: "parsing", outputSelection: { "*": { "": ["ast"] } } };
  const input = { language: "Solidity", sources: { source: { content: text } }, settings };
  const output = JSON.parse(solc.compile(JSON.stringify(input)));
  if (!output.sources?.source?.ast) throw new Error(JSON.stringify(output.errors));
  return output.sources.source.ast;
};

const rangeOf = (node) => {
  const [start, length] = node.src.split(":").map(Number);
  return [start, start + length];
};

/** What the compiler computes has no switch: lengths of arrays, and constants. */
const isConstant = (node) => node.nodeType === "ArrayTypeName" || (node.nodeType === "VariableDeclaration" && node.constant);

/** Both sides of an operation that has a neighbour. */
const sidesOf = (node) => {
  if (!NEIGHBOUR[node.operator]) return undefined;
  if (node.nodeType === "BinaryOperation") return [node.leftExpression, node.rightExpression];
  return node.nodeType === "Assignment" ? [node.leftHandSide, node.rightHandSide] : undefined;
};

const reverts = (body) => (body.nodeType === "Block" ? body.statements?.[0] : body)?.nodeType === "RevertStatement";

/** Rewrites a source so that each mutant of it can be switched on; adds them to `mutants`. Positions are of bytes. */
const instrument = (file, only, mutants) => {
  const bytes = readFileSync(join(ROOT, file));
  const slice = (start, end) => bytes.subarray(start, end).toString("utf8");
  const lines = bytes.toString("utf8").split("\n");
  const add = (start, end, text) => {
    const line = slice(0, start).split("\n").length;
    if (/\/\/ equivalent: \S/.test(lines[line - 1])) return 0;
    const was = slice(start, end).replace(/\s+/g, " ");
    return mutants.push({ what: `${file}:${line}: ${was} -> ${text}` });
  };
  const edits = [];
  const visit = (node) => {
    if (node === null || typeof node !== "object" || isConstant(node)) return;
    if (node.nodeType === "IfStatement" && reverts(node.trueBody) && only !== "operators") {
      const [start, end] = rangeOf(node.condition);
      const number = add(start, end, "false");
      if (number) edits.push([start, `!Mutant.on(${number}) && (`, 0], [end, ")", 1]);
    }
    const sides = only !== "reverts" && sidesOf(node);
    if (sides) {
      const [start, end] = rangeOf(node);
      const [left, right] = sides.map(rangeOf);
      const text = `${slice(...left)} ${NEIGHBOUR[node.operator]} ${slice(...right)}`;
      const number = add(start, end, text.replace(/\s+/g, " "));
      if (number) edits.push([start, `(Mutant.on(${number}) ? (${text}) : (`, 0], [end, "))", 1]);
    }
    Object.values(node).forEach(visit);
  };
  visit(parse(bytes.toString("utf8")));
  return splice(bytes, edits, file);
};

/** Puts texts into a source. At one place what closes comes before what opens, inner closings before outer ones. */
const splice = (bytes, edits, file) => {
  const placed = edits.map(([at, text, closes], order) => ({ at, text, closes, order }));
  placed.sort((a, b) => a.at - b.at || b.closes - a.closes || (a.closes ? b.order - a.order : a.order - b.order));
  let out = "";
  let from = 0;
  for (const { at, text } of placed) {
    out += bytes.subarray(from, at).toString("utf8") + text;
    from = at;
  }
  out += bytes.subarray(from).toString("utf8");
  const path = relative(dirname(file), "src/Mutant.sol");
  return out.replace(/(pragma solidity [^\n]*\n)/, `$1import {Mutant} from "${path.startsWith(".") ? path : `./${path}`}";\n`);
};

/** Stands before the compiler: forge asks for its version in every run, and to load it takes seconds. */
const QUICK_SOLC = `#!/usr/bin/env node
if (process.argv.includes("--version")) console.log("Version: ${solc.version().replace(".Emscripten.clang", "")}");
else await import("./solc-itself.mjs");
`;

/** A copy of what forge needs. A switch reads, so nothing there is pure. */
const copy = () => {
  const work = mkdtempSync(join(tmpdir(), "mutate-"));
  for (const name of ["src", "test", "tools", "foundry.toml"]) {
    cpSync(join(ROOT, name), join(work, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(work, "node_modules"));
  writeFileSync(join(work, "src/Mutant.sol"), SWITCH);
  renameSync(join(work, "tools/solc.mjs"), join(work, "tools/solc-itself.mjs"));
  writeFileSync(join(work, "tools/solc.mjs"), QUICK_SOLC, { mode: 0o755 });
  return work;
};

const readOnly = (work) => {
  for (const folder of ["src", "test"]) {
    for (const name of readdirSync(join(work, folder), { recursive: true })) {
      if (!name.endsWith(".sol") || name.endsWith("Vm.sol")) continue;
      const path = join(work, folder, name);
      writeFileSync(path, readFileSync(path, "utf8").replace(/\bpure\b/g, "view"));
    }
  }
};

/** Runs the tests with one mutant, or with none (0): whether all passed. */
const passes = (work, forgeArguments, mutant) => {
  const env = { FOUNDRY_FUZZ_RUNS: "32", ...process.env, MUTANT: String(mutant), FOUNDRY_VIA_IR: "false", FOUNDRY_DENY: "never" };
  for (const name of ["FOUNDRY_OUT", "FOUNDRY_CACHE_PATH"]) delete env[name];
  const run = spawnSync("tools/forge.sh", ["test", "--fail-fast", ...forgeArguments], { cwd: work, env, encoding: "utf8" });
  if (run.status === 0 && /[1-9]\d* tests passed/.test(run.stdout)) return true;
  if (mutant !== 0 && /Failing tests/.test(run.stdout)) return false;
  throw new Error(`${run.stdout.slice(-4000)}\n${run.stderr.slice(-4000)}`);
};

const main = (argv) => {
  const cut = argv.indexOf("--");
  const only = argv[0] === "--only" ? argv[1] : undefined;
  const sources = argv.slice(only ? 2 : 0, cut);
  if (cut < 0 || sources.length === 0 || (only && !["reverts", "operators"].includes(only))) {
    console.error("usage: tools/mutate.mjs [--only reverts|operators] SOURCE ... -- FORGE-TEST-ARGUMENTS");
    return 2;
  }
  const work = copy();
  const mutants = [];
  const survivors = [];
  try {
    for (const file of sources) writeFileSync(join(work, file), instrument(file, only, mutants));
    readOnly(work);
    passes(work, argv.slice(cut + 1), 0);
    mutants.forEach(({ what }, i) => {
      const survived = passes(work, argv.slice(cut + 1), i + 1);
      if (survived) survivors.push(what);
      console.log(`${survived ? "SURVIVED" : "caught"} ${what}`);
    });
  } catch (error) {
    console.error(`${error.message}\nthe tests must pass without a mutant`);
    return 2;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  console.log(`${mutants.length - survivors.length} of ${mutants.length} mutants caught`);
  survivors.forEach((what) => console.log(`survivor: ${what}`));
  return survivors.length === 0 ? 0 : 1;
};

process.exitCode = main(process.argv.slice(2));
