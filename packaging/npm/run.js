'use strict'
// Starts the program of the package for this machine, under the name by which the tool has called.
const { spawn } = require('node:child_process')
const { existsSync } = require('node:fs')
const { join } = require('node:path')

function unplugged(place) {
  try {
    return join(require.resolve(`${place}/package.json`), '..')
  } catch {
    return '' // it is not installed
  }
}

module.exports = function run(name) {
  const place = `clerk-credential-helper-${process.platform}-${process.arch}`
  const file = process.platform === 'win32' ? 'clerk-credential-helper.exe' : 'clerk-credential-helper'
  // Below or beside this package, where npm, pnpm and yarn put it. require.resolve would climb to the root of the disk.
  const own = join(__dirname, '..')
  const places = [join(own, 'node_modules', place), join(own, '..', place)]
  // Yarn's Plug'n'Play has no such folders; its require.resolve knows the packages of the project alone.
  if (process.versions.pnp) places.push(unplugged(place))
  const program = places.map((d) => join(d, 'bin', file)).find((f) => existsSync(f))
  if (!program) {
    console.error(`clerk-credential-helper: the package ${place} is not installed`)
    console.error('hint: install without --omit=optional; not every system and processor has a package')
    process.exit(1)
  }
  const child = spawn(program, process.argv.slice(2), { argv0: name, stdio: 'inherit' })
  // A terminal sends Ctrl-C to both; what is sent to us alone goes on.
  process.on('SIGINT', () => {})
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (err) => {
    console.error(`clerk-credential-helper: ${err.message}`)
    process.exit(1)
  })
  child.on('exit', (code, signal) => {
    if (signal) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    } else process.exit(code)
  })
}
