// tus-js-client as a process: `node with_tus_js_client.mjs ENDPOINT FILE KILL_AT CHUNK [URL]`. Dies by SIGKILL after sending
// KILL_AT bytes, if that is not 0; with URL it goes on with that upload. Prints the URL as soon as it is known.
import { createReadStream, statSync } from 'node:fs'
import net from 'node:net'
import { createRequire } from 'node:module'

const tus = createRequire(process.cwd() + '/')('tus-js-client')
const [endpoint, path, killAt, chunk, url] = process.argv.slice(2)
let left = Number(killAt)
const write = net.Socket.prototype.write
net.Socket.prototype.write = function (data, ...rest) {
  const size = typeof data === 'string' ? Buffer.byteLength(data) : data.length
  if (this.remotePort && left > 0 && (left -= size) <= 0) {
    const part = Buffer.from(data).subarray(0, Math.max(1, size + left))
    return write.call(this, part, () => process.kill(process.pid, 'SIGKILL'))
  }
  return write.call(this, data, ...rest)
}
const upload = new tus.Upload(createReadStream(path), {
  endpoint,
  uploadUrl: url || null,
  uploadSize: statSync(path).size,
  chunkSize: Number(chunk),
  retryDelays: [0, 200, 500],
  metadata: { filename: 'sent.csv' },
  onUploadUrlAvailable: () => console.log(upload.url),
  onSuccess: () => process.exit(0),
  onError: (error) => {
    console.error(String(error))
    process.exit(1)
  },
})
upload.start()
