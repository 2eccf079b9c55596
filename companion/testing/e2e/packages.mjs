// The packages that only the browser tests need, without installing them: @clerk/ui alone would bring a thousand others.
// Their tarballs are fetched once with npm's own client and checked against the hashes below at each use.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Name in the tests, package, version, sha512 of the tarball, and what of it is needed. */
const pinned = [
  {
    name: "clerk-js",
    spec: "@clerk/clerk-js@6.40.0",
    file: "clerk-clerk-js-6.40.0.tgz",
    sha512: "2MnZ/ygvuCmeuqfXQmsxfQaLN/SSJvQbtT2cLXbgr5VKr3KmZFZBVvX977fG3eZ6pprl4J9pO+I2bbe6BvColg==",
    members: ["package/dist/*.js"],
  },
  {
    name: "ui",
    spec: "@clerk/ui@1.34.0",
    file: "clerk-ui-1.34.0.tgz",
    sha512: "EP6Wcf+iqV5hJRMjfmVSOb7wWEgt2DuUOnR3Yv/ULPdmGgGWa64oc4tB4VfD66z8nXgtXqHEXNNnGURAOfQ7vQ==",
    members: ["package/dist/*.js"],
  },
  {
    name: "playwright-core",
    spec: "playwright-core@1.65.1",
    file: "playwright-core-1.65.1.tgz",
    sha512: "hqPpz7blSMPxWVdoeE1yiBSzXsKiVOd2k+kjCvmUywD2GPO2Dd9HfcWnq9NN0GHbNZDFgZ9JfBFr+X5/BLo0qw==",
    members: [],
  },
];

/**
 * @param {string} path
 * @param {string} sha512
 */
async function matches(path, sha512) {
  try {
    return (
      createHash("sha512")
        .update(await readFile(path))
        .digest("base64") === sha512
    );
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}

/**
 * Puts a tarball into the cache, unless the right one is there.
 * @param {string} cache
 * @param {{ spec: string, file: string, sha512: string }} one
 */
async function fetchTarball(cache, { spec, file, sha512 }) {
  const path = join(cache, file);
  if (await matches(path, sha512)) return path;
  const fresh = await mkdtemp(join(cache, "fetch-"));
  try {
    await run("npm", ["pack", "--ignore-scripts", "--silent", "--pack-destination", fresh, spec], {
      cwd: fresh,
      timeout: 120_000,
    });
    if (!(await matches(join(fresh, file), sha512))) {
      throw new Error(`${spec}: the tarball is not the one that packages.mjs names`);
    }
    await rename(join(fresh, file), path);
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
  return path;
}

/**
 * Unpacks the packages below `target`, each in a folder of its short name. The tarballs are kept in `cache`; what is
 * unpacked is fresh each time, so that a cache in a shared temporary folder is nothing to trust.
 * @param {string} target
 * @param {string} [cache]
 */
export async function unpackPackages(target, cache = join(tmpdir(), "clerk-credential-helper-packages")) {
  await mkdir(cache, { recursive: true, mode: 0o700 });
  await Promise.all(
    pinned.map(async (one) => {
      const tarball = await fetchTarball(cache, one);
      const folder = join(target, one.name);
      await mkdir(folder, { recursive: true });
      const members = one.members.length > 0 ? ["--wildcards", "--no-wildcards-match-slash", ...one.members] : [];
      await run("tar", ["-xzf", tarball, "-C", folder, "--strip-components=1", ...members], { timeout: 60_000 });
    }),
  );
  return target;
}
