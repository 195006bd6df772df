// SPDX-License-Identifier: Apache-2.0
// node's http with a keep-alive agent: BASE-URL HOST, see README.md.
'use strict';
const http = require('http');
const [base, host] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 20 });
const sizes = [0, 1, 100, 5000, 70000, 300000];
let answers = 0;

function ask(method, path, body, chunked) {
  return new Promise((resolve, reject) => {
    const headers = { Host: host };
    if (body && !chunked) headers['Content-Length'] = body.length;
    const req = http.request(base + path, { agent, method, headers }, (res) => {
      const parts = [];
      res.on('data', (d) => parts.push(d));
      res.on('end', () => { answers++; resolve([res.statusCode, Buffer.concat(parts)]); });
      res.on('error', reject);
    });
    req.on('error', reject);
    if (body && chunked) for (let i = 0; i < body.length; i += 9000) req.write(body.subarray(i, i + 9000));
    else if (body) req.write(body);
    req.end();
  });
}

function leave(k) { // reads a part of a long answer, and goes
  return new Promise((resolve) => {
    const req = http.get(base + '/bytes?n=3000000', { agent, headers: { Host: host } }, (res) => {
      res.once('data', () => { if (k % 2) req.socket.resetAndDestroy(); else req.destroy(); });
      res.on('error', () => {});
      res.on('close', resolve);
    });
    req.on('error', () => resolve());
  });
}

async function one(k) {
  for (let i = 0; i < 2 * sizes.length; i++) {
    const body = Buffer.alloc(sizes[i % sizes.length], `${k}.${i};`);
    const [status, got] = await ask('POST', i % 5 === 4 ? '/reflect-chunked' : `/reflect?${k}.${i}`, body, i % 4 === 3);
    if (status !== 200 || !got.equals(body)) throw new Error(`${k}.${i}: ${status}, ${got.length} of ${body.length} bytes`);
  }
}

(async () => {
  for (let i = 0; i < 100; i++) {
    const [status, got] = await ask('GET', `/echo?${i}`);
    if (status !== 200 || !got.includes(`"/echo?${i}"`)) throw new Error(`${i}: ${status} ${got}`);
  }
  if ((await ask('GET', '/bytes?n=5000000'))[1].length !== 5000000) throw new Error('/bytes');
  if ((await ask('GET', '/chunked?n=500000'))[1].length !== 500000) throw new Error('/chunked');
  await Promise.all([...Array(20).keys()].map(one).concat([...Array(10).keys()].map(leave)));
  console.log('ok', answers);
  process.exit(0);
})().catch((e) => { console.log('wrong', e.message); process.exit(1); });
