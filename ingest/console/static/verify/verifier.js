// Checks a statement file with nothing but the centre's public keys. Each link of the chain is named where it breaks:
//
//   bundle             the file can be read
//   statement key      the statement names a key of the centre that the reader trusts
//   statement          the centre's signature fits: not one digit was changed
//   evidence           every envelope it rests on is there, unaltered
//   gateway signature  every envelope is signed by the key that the statement names for its gateway
//   profile, reading   every stated register is what the envelope holds
//   line               what its registers, steps, weights or losses come to is its amount
//   pool, commitment   the lines hang in the trees of all lines, whose sums make the costs
//   total              the lines add up
//   publication        the centre's word that the run is final
//
// What rests on a broken link is not checked. Nothing that stands in a file makes this throw.

import { digestOfHead, noteOf, openEnvelope } from "./envelopes.js";
import { LineWrong, Recomputed } from "./lines.js";
import { money, sumOf } from "./numbers.js";
import { Malformed, fromHex, hex, same } from "./octets.js";
import { profilesOf, registerOf, rollsOverAt } from "./profiles.js";
import { NotSigned, Seals, algorithmOf, readSigned } from "./seals.js";
import { STATEMENT_OCTETS_MAX, readFile, readPublication, readStatement } from "./statement.js";
import { inChinese } from "./words.js";
import { NotProven, provePool, proveRun, readProof, requireShape } from "./sums.js";

/** A link that does not hold; `told` says why, in both languages. */
class Broken extends Error {
  constructor(link, en, zh) {
    super(en);
    this.link = link;
    this.told = { en, zh };
  }
}

const isExpected = (error) => [Malformed, NotSigned, NotProven, LineWrong].some((kind) => error instanceof kind);
const nameOf = (ref) => `${ref.gateway}/${ref.epoch}/${ref.seq}`;
const plain = (en, zh) => ({ en, zh });
const unreadable = (error) => plain(`it cannot be read: ${error.message}`, `无法读取：${inChinese(error.message)}`);
const failed = (error) => plain(error.message, inChinese(error.message));

/** Every link that was checked, in order. */
class Report {
  constructor() {
    this.checks = [];
    this.statement = null;
    this.publication = null;
    this.lines = new Map();
  }

  add(link, holds, told) {
    this.checks.push({ link, holds, told });
  }

  get holds() {
    return this.checks.every((check) => check.holds);
  }

  get broken() {
    return this.checks.filter((check) => !check.holds);
  }

  get isFinal() {
    return this.publication !== null;
  }
}

/**
 * Check a statement file.
 *
 * octets   of the file
 * keys     raw public keys of the centre that the reader trusts: octets, or hexadecimal digits
 * seals    what checks digests and signatures; without it, the browser's WebCrypto
 */
export async function verifyFile(octets, keys, seals = new Seals()) {
  const report = new Report();
  try {
    await new Verification(octets, keys, seals, report).run();
  } catch (error) {
    // A file nobody thought of: whatever was found so far does not make it hold.
    report.add("bundle", false, unreadable(error));
  }
  return report;
}

class Verification {
  constructor(octets, keys, seals, report) {
    this.octets = octets;
    this.keys = keys;
    this.seals = seals;
    this.report = report;
  }

  async run() {
    try {
      this.file = readFile(this.octets);
    } catch (error) {
      this.report.add("bundle", false, unreadable(error));
      return;
    }
    this.trusted = new Map();
    for (const key of this.keys) {
      const octets = typeof key === "string" ? fromHex(key) : key;
      this.trusted.set(await this.seals.keyId(octets), octets);
    }
    this.statement = await this.attempt("statement", () => this.openStatement());
    if (this.statement === null) return;
    this.report.statement = this.statement;
    if (await this.findEvidence()) await this.checkEvidence();
    await this.checkSums();
    this.checkTotal();
    await this.checkPublication();
  }

  /** Do one thing whose failure is a broken link; null then. */
  async attempt(link, act) {
    try {
      return await act();
    } catch (error) {
      if (error instanceof Broken) this.report.add(error.link, false, error.told);
      else if (error instanceof NotProven) this.report.add(error.link, false, failed(error));
      else if (error instanceof NotSigned) this.report.add(link, false, failed(error));
      else if (error instanceof LineWrong) this.report.add(link, false, error.told);
      else if (isExpected(error)) this.report.add(link, false, unreadable(error));
      else throw error;
      return null;
    }
  }

  async openStatement() {
    const message = readSigned(this.file.statement, STATEMENT_OCTETS_MAX);
    const key = this.trusted.get(message.keyId);
    if (key === undefined) {
      const known = [...this.trusted.keys()].join(", ") || "-";
      const en = `signed with key ${message.keyId}; keys you trust: ${known}`;
      throw new Broken("statement key", en, `签名密钥为 ${message.keyId}；您信任的密钥：${known}`);
    }
    try {
      await this.seals.require(message, algorithmOf(key), key);
    } catch (error) {
      if (!(error instanceof NotSigned)) throw error;
      throw new Broken("statement", "it was changed after signing, or signed by someone else", "签名后被改动，或由他人签名");
    }
    const statement = readStatement(message.payload);
    this.report.add("statement", true, plain(`${statement.number}, signed with key ${message.keyId}`, `${statement.number}，签名密钥 ${message.keyId}`));
    return statement;
  }

  /** Match envelopes to the statement by the digest of their heads; says whether all are there, unaltered. */
  async findEvidence() {
    const [intact, altered] = [new Map(), new Set()];
    let unreadableCount = 0;
    for (const octets of this.file.evidence) {
      try {
        const envelope = await openEnvelope(octets, this.seals);
        intact.set(hex(envelope.digest), envelope);
        altered.add(nameOf(envelope.head));
      } catch (error) {
        if (!isExpected(error)) throw error;
        const digest = await digestOfHead(octets, this.seals).catch(() => null);
        if (digest === null) unreadableCount += 1;
        else altered.add(hex(digest));
      }
    }
    this.envelopes = new Map(this.statement.evidence.map((ref) => [ref, intact.get(hex(ref.digest))]));
    const missing = this.statement.evidence.filter((ref) => this.envelopes.get(ref) === undefined);
    for (const ref of missing) {
      const isAltered = altered.has(hex(ref.digest)) || altered.has(nameOf(ref));
      const told = isAltered ? plain("it was altered: it is not what was signed", "被改动：与签名内容不同") : plain("it is missing", "缺失");
      this.report.add(`evidence ${nameOf(ref)}`, false, told);
    }
    if (unreadableCount) {
      this.report.add("evidence", false, plain(`${unreadableCount} envelopes were altered beyond reading`, `${unreadableCount} 个封包已无法读取`));
    }
    const holds = !missing.length && !unreadableCount;
    const count = new Set(this.envelopes.values()).size;
    if (holds) this.report.add("evidence", true, plain(`${count} envelopes are there, unaltered`, `${count} 个封包齐全，未被改动`));
    return holds;
  }

  async checkEvidence() {
    if (!(await this.checkGateways())) return;
    const told = await this.attempt("profile", () => this.checkReadings());
    if (told === null) return;
    this.report.add("reading", true, told);
    const recomputed = new Recomputed(this.statement);
    for (const line of this.statement.lines) {
      const link = `line ${line.id}`;
      const found = await this.attempt(link, () => recomputed.line(line));
      this.report.lines.set(line.id, { amount: found?.amount ?? null, holds: found !== null });
      if (found !== null) this.report.add(link, true, found.told);
    }
  }

  async checkGateways() {
    const keys = new Map(this.statement.keys.map((key) => [`${key.gateway}/${key.epoch} ${hex(key.keyId)}`, key]));
    let holds = true;
    for (const [ref, envelope] of this.envelopes) {
      const key = keys.get(`${ref.gateway}/${ref.epoch} ${envelope.message.keyId}`);
      const done = await this.attempt(`gateway signature ${nameOf(ref)}`, async () => {
        if (key === undefined) throw new NotSigned("it is signed with a key that the statement does not name for its gateway");
        await this.seals.require(envelope.message, key.algorithm, key.publicKey);
        if (nameOf(envelope.head) !== nameOf(ref)) throw new NotSigned("it names another gateway, epoch or number than the statement");
        return true;
      });
      holds = holds && done !== null;
    }
    const count = new Set(this.envelopes.values()).size;
    const told = plain(`${count} envelopes, ${this.statement.keys.length} keys`, `${count} 个封包，${this.statement.keys.length} 个密钥`);
    if (holds) this.report.add("gateway signature", true, told);
    return holds;
  }

  /** Compare every stated register with the one in its envelope; gives the result in words. */
  async checkReadings() {
    this.profiles = await profilesOf(this.file.profiles, this.seals);
    let [count, byPeople, declared] = [0, 0, 0];
    for (const point of this.statement.points) {
      const { obis } = point;
      for (const stated of point.readings) {
        const link = `reading ${stated.meter} ${new Date(Number(stated.mark) * 1000).toISOString().replace(".000Z", "Z")}`;
        await this.asLink(link, () => {
          const reading = this.checkReading(point, stated, obis);
          const note = noteOf(reading);
          if (note !== null) requireSameNumber(note, stated);
          byPeople += note === null ? 0 : 1;
        });
        count += 1;
      }
      declared += point.installations.filter((one) => one.initial_wh !== null || one.final_wh !== null).length;
    }
    const people = byPeople ? [`; ${byPeople} of them read by people`, `；其中 ${byPeople} 个由人抄读`] : ["", ""];
    const fitted = declared ? [`; ${declared} meters were hung or taken down with a declared register`, `；${declared} 次装拆表码由安装人登记`] : ["", ""];
    return plain(`${count} registers are what was stated${people[0]}${fitted[0]}`, `${count} 个表码与确认单一致${people[1]}${fitted[1]}`);
  }

  async asLink(link, act) {
    try {
      await act();
    } catch (error) {
      if (!isExpected(error)) throw error;
      throw new Broken(link, error.message, inChinese(error.message));
    }
  }

  checkReading(point, stated, obis) {
    const { head, readings } = this.envelopes.get(stated.envelope);
    const hung = point.installations.filter(({ meter }) => meter === stated.meter);
    if (!hung.length) throw new Malformed(`${stated.meter} is not stated to hang at ${point.node}`);
    for (const reading of readings.filter(({ meter }) => meter === stated.meter && head.mark === stated.mark)) {
      const groups = this.profiles.get(hex(reading.profile));
      if (groups === undefined) throw new Malformed(`the profile ${hex(reading.profile).slice(0, 16)} it was read by is missing`);
      const register = registerOf(groups, reading, obis);
      if (register === null) continue;
      if (register !== stated.register) throw new Malformed(`the envelope holds ${register} Wh, the statement says ${stated.register} Wh`);
      const wrong = hung.find((one) => one.modulus_wh !== null && !rollsOverAt(groups, obis, one.modulus_wh));
      if (wrong !== undefined) throw new Malformed(`the profile does not state that the register rolls over at ${wrong.modulus_wh} Wh`);
      return reading;
    }
    throw new Malformed("the envelope holds no measured register of this meter at this time");
  }

  async checkSums() {
    const proof = await this.attempt("commitment", () => readProof(this.file.proof));
    if (proof === null) return;
    if ((await this.attempt("commitment", () => requireShape(this.statement, proof) ?? true)) === null) return;
    for (const [at, pool] of this.statement.pools.entries()) {
      const link = `pool ${pool.id}`;
      const top = await this.attempt(link, () => provePool(this.statement, proof, at, this.seals));
      if (top !== null) this.report.add(link, true, this.sumsTold(pool, top));
    }
    const root = hex(this.statement.commitment);
    const proven = await this.attempt("commitment", async () => (await proveRun(this.statement, proof, this.seals)) ?? true);
    if (proven !== null) this.report.add("commitment", true, plain(`root ${root}`, `指纹 ${root}`));
  }

  sumsTold(pool, top) {
    if (top.charges === null) {
      return plain("your line is committed to; the registers of others stay hidden", "您的明细行已固定；他人的表码不公开");
    }
    const { currency, lines } = this.statement;
    const own = money(sumOf(lines.filter((line) => line.pool === pool.id).map(({ amount }) => amount)), currency);
    const all = money(top.charges - top.credits, currency);
    return plain(`yours, ${own}, and the others' add up to its cost, ${all}`, `您的 ${own} 与其他各户合计正好为总额 ${all}`);
  }

  checkTotal() {
    const { lines, currency, total_minor: stated } = this.statement;
    const total = sumOf(lines.map(({ amount }) => amount));
    const told = plain(`${lines.length} lines add up to ${money(total, currency)}`, `${lines.length} 行合计 ${money(total, currency)}`);
    this.report.add("total", total === stated, told);
  }

  async checkPublication() {
    if (this.file.publication === null) {
      const told = plain("PROVISIONAL: its run was not published when this file was made", "暂定：生成本文件时该批核算尚未发布");
      this.report.add("publication", true, told);
      return;
    }
    this.report.publication = await this.attempt("publication", async () => {
      const message = readSigned(this.file.publication);
      const key = this.trusted.get(message.keyId);
      if (key === undefined) throw new NotSigned(`it is signed with key ${message.keyId}, which you do not trust`);
      await this.seals.require(message, algorithmOf(key), key);
      const publication = readPublication(message.payload);
      if (!same(publication.run, this.statement.runId) || !same(publication.commitment, this.statement.commitment)) {
        throw new NotSigned("it speaks of another run");
      }
      const at = new Date(Number(publication.published_at)).toISOString().slice(0, 16).replace("T", " ");
      const { checked_by: checked, approved_by: approved } = publication;
      this.report.add("publication", true, plain(
        `final: published ${at} UTC, checked by ${checked}, approved by ${approved}`, `终稿：${at} UTC 发布，${checked} 复核，${approved} 批准`,
      ));
      return publication;
    });
  }
}

/** What a person wrote down and the register are one number but for the unit: a power of ten, or 3600 kJ a kWh. */
function requireSameNumber(note, { register }) {
  const found = /^(\d+)(?:\.(\d*))?$/.exec(note.text.trim());
  if (found === null) throw new Malformed(`what was written down is no number: ${note.text}`);
  const [digits, decimals] = [BigInt(found[1] + (found[2] ?? "")), 10n ** BigInt((found[2] ?? "").length)];
  const factors = Array.from({ length: 10 }, (_, power) => 10n ** BigInt(power)).flatMap((one) => [one, one * 3600n]);
  if (!factors.some((factor) => digits * factor === register * decimals)) {
    throw new Malformed(`${note.text} was written down, the register is ${register}`);
  }
}
