// A station for tests: sends and receives TCP streams and UDP datagrams whose bytes can be compared by hash. Runs inside a namespace.
//
//   node station.mjs tcp-receive ADDRESS PORT                  "ready", then { bytes, sha256 } of one connection
//   node station.mjs tcp-send ADDRESS PORT BYTES               { bytes, sha256 }
//   node station.mjs udp-receive ADDRESS PORT COUNT            "ready", then { datagrams, damaged } once all came or none for a while
//   node station.mjs udp-send ADDRESS PORT COUNT BYTES_MAX     { datagrams }
import { createHash, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { connect, createServer } from 'node:net';

const [role, address, port, ...rest] = process.argv.slice(2);
const [count, bytesMax] = rest.map(Number);
const print = (value) => process.stdout.write(`${typeof value === 'string' ? value : JSON.stringify(value)}\n`);
const QUIET_MS = 3000;
const FIRST_MS = 10_000;
const PAUSE_MS = 8;

function tcpReceive() {
  const hash = createHash('sha256');
  let bytes = 0;
  const server = createServer((socket) => {
    socket.on('data', (chunk) => {
      bytes += chunk.length;
      hash.update(chunk);
    });
    socket.on('end', () => {
      print({ bytes, sha256: hash.digest('hex') });
      socket.end();
      server.close();
    });
  });
  server.listen(Number(port), address, () => print('ready'));
}

function tcpSend() {
  const hash = createHash('sha256');
  const block = randomBytes(1 << 20);
  let left = count;
  const socket = connect(Number(port), address);
  const feed = () => {
    while (left > 0) {
      // Different bytes in every block: a block that is lost or sent twice shows in the hash.
      block.writeUInt32LE(left, 0);
      const piece = Buffer.from(block.subarray(0, Math.min(left, block.length)));
      left -= piece.length;
      hash.update(piece);
      if (!socket.write(piece)) return void socket.once('drain', feed);
    }
    socket.end();
    print({ bytes: count, sha256: hash.digest('hex') });
  };
  socket.on('connect', feed);
  socket.on('error', (error) => {
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  });
  socket.resume();
}

/** Datagram n: its number, its length, and bytes that follow from both. */
function datagram(n, max) {
  const bytes = Buffer.alloc(8 + ((n * 7919) % (max - 7)), (n * 31) & 255);
  bytes.writeUInt32BE(n, 0);
  bytes.writeUInt32BE(bytes.length, 4);
  return bytes;
}

function isWhole(bytes) {
  const n = bytes.readUInt32BE(0);
  return bytes.readUInt32BE(4) === bytes.length && bytes.subarray(8).every((byte) => byte === ((n * 31) & 255));
}

function udpReceive() {
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4', recvBufferSize: 1 << 22 });
  const seen = new Set();
  let damaged = 0;
  let timer;
  const end = () => {
    clearTimeout(timer);
    socket.close();
    print({ datagrams: seen.size, damaged });
  };
  socket.on('message', (bytes) => {
    if (isWhole(bytes)) seen.add(bytes.readUInt32BE(0));
    else damaged++;
    clearTimeout(timer);
    if (seen.size === count) end();
    else timer = setTimeout(end, QUIET_MS);
  });
  socket.bind(Number(port), address, () => {
    print('ready');
    timer = setTimeout(end, FIRST_MS);
  });
}

async function udpSend() {
  const socket = createSocket(address.includes(':') ? 'udp6' : 'udp4');
  for (let n = 0; n < count; n++) {
    await new Promise((resolve) => socket.send(datagram(n, bytesMax), Number(port), address, resolve));
    // Small bursts: what is tested is that bytes arrive whole, not how many fit a buffer, which is small where the machine allows no larger one.
    if (n % 16 === 15) await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
  socket.close();
  print({ datagrams: count });
}

await { 'tcp-receive': tcpReceive, 'tcp-send': tcpSend, 'udp-receive': udpReceive, 'udp-send': udpSend }[role]();
