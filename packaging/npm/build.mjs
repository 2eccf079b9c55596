// Makes the npm packages of a release from a list of programs, each line with system, processor and file: a package for
// each of them, and one without a program that has the others as optional dependencies. Nothing runs or is fetched when
// they are installed.
//
//   node packaging/npm/build.mjs VERSION LIST FOLDER
import { spawnSync } from 'node:child_process'
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'

const [version, list, out] = process.argv.slice(2)
const root = resolve(fileURLToPath(import.meta.url), '../../..')
const program = 'clerk-credential-helper'
const links = ['git-credential-clerk', 'docker-credential-clerk', 'cargo-credential-clerk', 'bazel-credential-clerk']
const platforms = { linux: 'linux', darwin: 'darwin', windows: 'win32', freebsd: 'freebsd' } // Go's name: Node.js's
const cpus = { amd64: 'x64', arm64: 'arm64' }
const about = { version, description: 'One sign-in with Clerk for git, docker and every other tool', license: 'MIT' }

const binaries = readFileSync(list, 'utf8').split('\n').filter(Boolean).map((line) => {
  const [os, cpu, path] = line.split(' ')
  return { os: platforms[os], cpu: cpus[cpu], path }
})
if (binaries.length === 0) throw new Error('there is no binary')

const work = mkdtempSync(join(tmpdir(), 'npm-'))
mkdirSync(out, { recursive: true })
for (const { path, os, cpu } of binaries) {
  const name = `${program}-${os}-${cpu}`
  const bin = `bin/${program}${os === 'win32' ? '.exe' : ''}`
  pack(name, (dir) => {
    copy(path, join(dir, bin), 0o755)
    copy(join(root, 'packaging/.made/THIRD-PARTY-NOTICES'), join(dir, 'THIRD-PARTY-NOTICES'), 0o644)
    // A link has the name by which a tool calls; Windows has none, and its users have the package with the shim.
    const names = os === 'win32' ? [program] : [program, ...links]
    return { os: [os], cpu: [cpu], preferUnplugged: true, bin: Object.fromEntries(names.map((n) => [n, bin])) }
  })
}
pack(program, (dir) => {
  copy(join(root, 'packaging/npm/run.js'), join(dir, 'bin/run.js'), 0o644)
  const bin = {}
  for (const name of [program, ...links]) {
    bin[name] = `bin/${name}.js`
    writeFileSync(join(dir, bin[name]), `#!/usr/bin/env node\nrequire('./run.js')('${name}')\n`, { mode: 0o755 })
  }
  const optionalDependencies = Object.fromEntries(binaries.map(({ os, cpu }) => [`${program}-${os}-${cpu}`, version]))
  return { bin, engines: { node: '>=18' }, optionalDependencies }
})
rmSync(work, { recursive: true })

function copy(from, to, mode) {
  copyFileSync(from, to)
  chmodSync(to, mode)
}

// pack writes a package with what fill has put into its folder and has returned for package.json.
function pack(name, fill) {
  const dir = join(work, name)
  mkdirSync(join(dir, 'bin'), { recursive: true })
  const rest = fill(dir)
  copy(join(root, 'LICENSE'), join(dir, 'LICENSE'), 0o644)
  copy(join(root, 'packaging/npm/README.md'), join(dir, 'README.md'), 0o644)
  writeFileSync(join(dir, 'package.json'), JSON.stringify({ name, ...about, ...rest }, null, 2) + '\n')
  const npm = spawnSync('npm', ['pack', '--silent', '--ignore-scripts', '--pack-destination', resolve(out)], {
    cwd: dir, stdio: ['ignore', 'ignore', 'inherit'], shell: process.platform === 'win32',
  })
  if (npm.status !== 0) throw new Error(`npm pack of ${name} failed`)
}
