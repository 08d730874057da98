#!/usr/bin/env node
// Writes test/vectors/{sha512,aes256ctr,ed25519,possession}.json: what another implementation (OpenSSL, by node:crypto) makes of the
// same input. With --check nothing is written, and a file that would change is an error.
import { createCipheriv, createHash, createPrivateKey, createPublicKey, sign, verify } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const hex = (bytes) => "0x" + Buffer.from(bytes).toString("hex");
const sha = (name, ...parts) => createHash(name).update(Buffer.concat(parts)).digest();
/** Bytes that look random and are the same in every run. */
const drawn = (label, length = 32) => {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, i) => sha("sha256", Buffer.from(`${label}/${i}`)));
  return Buffer.concat(blocks).subarray(0, length);
};

// ---- SHA-512 and AES-256-CTR

const sha512 = () => {
  const message = (length) => Buffer.from(Array.from({ length }, (_, j) => (7 * length + j) & 255));
  return { digests: Array.from({ length: 300 }, (_, length) => hex(sha("sha512", message(length)))) };
};

const aes256ctr = () => {
  const indexes = [0, 1, 2, 255, 256, 65_535, 4_194_303, 4_294_967_295];
  const keys = indexes.map((index) => drawn(`aes/${index}`));
  const digests = indexes.map((index, i) => {
    const iv = Buffer.alloc(16);
    iv.writeBigUInt64BE(BigInt(index) * 256n, 8);
    return hex(sha("sha256", createCipheriv("aes-256-ctr", keys[i], iv).update(Buffer.alloc(4096))));
  });
  return { keys: keys.map(hex), indexes, digests };
};

// ---- Ed25519: the curve in affine coordinates, for signatures that no library would make

const P = 2n ** 255n - 19n;
const L = 2n ** 252n + 27742317777372353535851937790883648493n;
const mod = (a, m = P) => ((a % m) + m) % m;
const power = (base, exponent) => {
  let result = 1n;
  for (; exponent > 0n; exponent >>= 1n, base = mod(base * base)) if (exponent & 1n) result = mod(result * base);
  return result;
};
const inverse = (a) => power(mod(a), P - 2n);
const D = mod(-121665n * inverse(121666n));
const add = ([ax, ay], [bx, by]) => {
  const k = mod(D * ax * bx * ay * by);
  return [mod((ax * by + bx * ay) * inverse(1n + k)), mod((ay * by + ax * bx) * inverse(1n - k))];
};
const times = (n, point) => {
  let sum = [0n, 1n];
  for (; n > 0n; n >>= 1n, point = add(point, point)) if (n & 1n) sum = add(sum, point);
  return sum;
};
const little = (number) => Buffer.from(number.toString(16).padStart(64, "0"), "hex").reverse();
const number = (bytes) => BigInt("0x" + Buffer.from(bytes).reverse().toString("hex"));
const encode = ([x, y]) => little(y | ((x & 1n) << 255n));
const BASE = [
  0x216936d3cd6e53fec0a4e231fdd6dc5c692cc7609525a7b2c9562d608f25d51an,
  0x6666666666666666666666666666666666666666666666666666666666666658n,
];
/** A point of order 8: its y has no simple form, its double's y is zero. */
const EIGHTH = (() => {
  const y = number(Buffer.from("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "hex"));
  const x2 = mod((y * y - 1n) * inverse(D * y * y + 1n));
  let x = power(x2, (P + 3n) / 8n);
  if (mod(x * x) !== x2) x = mod(x * power(2n, (P - 1n) / 4n));
  return [x, y];
})();

/** Signs as RFC 8032 section 5.1.6, but with any secret scalar, public key, and point added to R. */
const forged = ({ secret, key, message, nonce, more = [0n, 1n] }) => {
  const r = encode(add(times(nonce, BASE), more));
  const k = mod(number(sha("sha512", r, key, message)), L);
  return Buffer.concat([r, little(mod(nonce + k * secret, L))]);
};

const pkcs8 = (seed) => Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), seed]);
const pair = (seed) => {
  const secret = createPrivateKey({ key: pkcs8(seed), format: "der", type: "pkcs8" });
  const spki = createPublicKey(secret).export({ format: "der", type: "spki" });
  return { secret, key: spki.subarray(spki.length - 32) };
};

/** RFC 8032 section 7.1: seeds and messages; key and signature follow from them, and OpenSSL is held to the RFC's. */
const RFC = [
  ["9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "",
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"],
  ["4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", "72",
    "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"],
  ["c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7", "af82",
    "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"],
  ["833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704"],
];

const rows = () => {
  const all = [];
  const row = (what, key, message, signature, valid, usable = true) =>
    all.push({ what, key: hex(key), message: hex(message), r: hex(signature.subarray(0, 32)), s: hex(signature.subarray(32)), valid, usable });
  const signed = (what, seed, message) => {
    const { secret, key } = pair(seed);
    row(what, key, message, sign(null, message, secret), true);
    return all.at(-1);
  };
  for (const [i, [seed, message, signature]] of RFC.entries()) {
    const made = signed(`RFC 8032 test ${i + 1}`, Buffer.from(seed, "hex"), Buffer.from(message, "hex"));
    if (made.r.slice(2) + made.s.slice(2) !== signature) throw new Error(`RFC 8032 test ${i + 1}: OpenSSL signs otherwise`);
  }
  for (let i = 0; i < 40; i += 1) signed(`drawn ${i}`, drawn(`seed/${i}`), drawn(`message/${i}`, (i * 37) % 400));
  unusual(row);
  return all;
};

/** What only somebody who wants two answers makes. `usable`: whether the key is one that this contract takes. */
const unusual = (row) => {
  const message = drawn("unusual");
  const secret = mod(number(drawn("secret")), L);
  const nonce = mod(number(drawn("nonce")), L);
  const point = times(secret, BASE);
  const key = encode(point);
  const good = forged({ secret, key, message, nonce });
  const [r, s] = [good.subarray(0, 32), number(good.subarray(32))];
  row("own arithmetic", key, message, good, true);
  row("s plus the order", key, message, Buffer.concat([r, little(s + L)]), false);
  row("s with its top bit set", key, message, Buffer.concat([r, little(s | (1n << 255n))]), false);
  row("s is the order", key, message, Buffer.concat([r, little(L)]), false);
  row("R with a part of small order", key, message, forged({ secret, key, message, nonce, more: EIGHTH }), false);
  row("R is not canonical", key, message, notCanonical({ secret, key, message }), false);
  row("nonce zero", key, message, forged({ secret, key, message, nonce: 0n }), true);
  row("another message", key, drawn("other"), good, false);

  const mixed = encode(add(point, EIGHTH));
  for (let i = 0; i < 16; i += 1) {
    const one = forged({ secret, key: mixed, message, nonce: nonce + BigInt(i) });
    const k = mod(number(sha("sha512", one.subarray(0, 32), mixed, message)), L);
    row(`key with a part of small order ${i}`, mixed, message, one, k % 8n === 0n);
  }
  badKeys(row, message);
};

/** R is the neutral point, written with y = 1 + P. */
const notCanonical = ({ secret, key, message }) => {
  const r = little(1n + P);
  const k = mod(number(sha("sha512", r, key, message)), L);
  return Buffer.concat([r, little(mod(k * secret, L))]);
};

const badKeys = (row, message) => {
  for (let i = 0n; i < 8n; i += 1n) {
    const key = encode(times(i, EIGHTH));
    // Under a key of small order, R = -kA and s = 0 verify as soon as k fits the R that was guessed.
    const tries = Array.from({ length: 8 }, (_, j) => Buffer.concat([encode(times(BigInt(j), EIGHTH)), little(0n)]));
    const fits = (one) => {
      const k = number(sha("sha512", one.subarray(0, 32), key, message)) % L;
      return encode(times(mod(-k * i, 8n), EIGHTH)).equals(one.subarray(0, 32));
    };
    const found = tries.find(fits);
    row(`key of small order ${i}`, key, message, found ?? tries[0], found !== undefined, false);
  }
  const refused = { "y is the prime": little(P), "y is the prime plus one": little(P + 1n), "y is all ones": little(2n ** 255n - 1n),
    "x is zero with its sign set": little(1n | (1n << 255n)), "no point has this y": little(2n) };
  for (const [what, key] of Object.entries(refused)) row(what, key, message, Buffer.alloc(64), false, false);
};

const ed25519 = () => {
  const all = rows();
  const column = (name) => all.map((row) => row[name]);
  return Object.fromEntries(["what", "key", "message", "r", "s", "valid", "usable"].map((name) => [name, column(name)]));
};

// ---- Proofs of possession, as `IAssayStake.register` asks for them

const possession = () => {
  const chains = [1n, 31_337n, 2n ** 53n + 1n];
  const rows = chains.map((chain, i) => {
    const { secret, key } = pair(drawn(`possession/${i}`));
    const [contract, signer] = [drawn(`contract/${i}`, 20), drawn(`signer/${i}`, 20)];
    const chainId = Buffer.from(chain.toString(16).padStart(64, "0"), "hex");
    const message = Buffer.concat([Buffer.from("assay-hypernode-key-v1"), chainId, contract, signer]);
    return { chainId, contract, signer, key, message, proof: sign(null, message, secret) };
  });
  const names = ["chainId", "contract", "signer", "key", "message", "proof"];
  return Object.fromEntries(names.map((name) => [name, rows.map((row) => hex(row[name]))]));
};

// ---- Files

const stale = [];
for (const [name, make] of Object.entries({ sha512, aes256ctr, ed25519, possession })) {
  const path = fileURLToPath(new URL(`../test/vectors/${name}.json`, import.meta.url));
  const text = JSON.stringify(make(), null, 1) + "\n";
  if (!process.argv.includes("--check")) writeFileSync(path, text);
  else if (readFileSync(path, "utf8") !== text) stale.push(path);
}
if (stale.length > 0) {
  console.error(`out of date: ${stale.join(", ")}\nhint: node tools/evidence-vectors.mjs`);
  process.exit(1);
}
