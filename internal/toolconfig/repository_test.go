package toolconfig

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform"
)

func acme(t *testing.T) *config.Config {
	t.Helper()
	cfg, err := config.Parse("config.toml", []byte("[profiles.acme]\nissuer = \"https://clerk.acme.dev\"\nclient_id = \"x\"\n"+
		"hosts = [\"npm.acme.dev\", \"*.pkg.acme.dev\", \"127.0.0.1:4873\", \"10.1.2.3\", \"npm.acme.dev:8443\"]\n"))
	if err != nil {
		t.Fatal(err)
	}
	return cfg
}

// in writes files of a repository, and returns where a package manager would run in it.
func in(t *testing.T, files map[string]string) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "clone")
	for name, text := range files {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

// TestRepositoryRefuses is about lines that would lead the token elsewhere. All were first seen to do so with the program
// itself, or are another spelling that it reads in the same way.
func TestRepositoryRefuses(t *testing.T) {
	const byHTTP, elsewhere, byUser = "by http", "can lead requests elsewhere", "before its host"
	const outside, tarball = "it names a folder outside of the repository", "it names a tarball of the repository"
	for _, row := range []struct {
		reason, program, file, text, want string
	}{
		{"npm's keys have no scheme", "npm", ".npmrc", "fund=false\nregistry=http://npm.acme.dev/\n", "line 2: it asks for \"npm.acme.dev\" " + byHTTP},
		{"a scope's registry", "npm", ".npmrc", "@acme:registry=http://npm.acme.dev\n", byHTTP},
		{"in capitals", "npm", ".npmrc", "registry=HTTP://NPM.ACME.DEV/\n", byHTTP},
		{"http's own port", "npm", ".npmrc", "registry=http://npm.acme.dev:80/\n", byHTTP},
		{"https's port", "npm", ".npmrc", "registry=http://npm.acme.dev:443/\n", byHTTP},
		{"another port of the profile", "npm", ".npmrc", "registry=http://npm.acme.dev:8443/\n", byHTTP},
		{"a user before the host", "npm", ".npmrc", "registry=http://ada:x@npm.acme.dev/\n", byHTTP},
		{"backslashes", "npm", ".npmrc", "fund=true\n@a:registry=http:\\\\npm.acme.dev\\\n", byHTTP},
		{"no slashes", "npm", ".npmrc", "registry=http:npm.acme.dev/\n", byHTTP},
		{"tabs inside", "npm", ".npmrc", "registry=ht\ttp://npm.ac\tme.dev/\n", byHTTP},
		{"a trailing dot", "npm", ".npmrc", "registry=http://npm.acme.dev./\n", byHTTP},
		{"a percent sign", "npm", ".npmrc", "registry=http://npm%2eacme.dev/\n", byHTTP},
		{"fullwidth letters", "npm", ".npmrc", "registry=http://ｎpm.acme.dev/\n", byHTTP},
		{"a wildcard's host", "npm", ".npmrc", "registry=http://a.pkg.acme.dev/\n", byHTTP},
		{"an IPv4 address", "npm", ".npmrc", "registry=http://10.1.2.3/\n", byHTTP},
		{"an IPv4 address as one number", "npm", ".npmrc", "registry=http://167838211/\n", byHTTP},
		{"in hexadecimal", "npm", ".npmrc", "registry=http://0xa.1.2.3/\n", byHTTP},
		{"a list", "npm", ".npmrc", "registry[]=http://npm.acme.dev/\n", byHTTP},
		{"a comment is no way out of a value", "npm", ".npmrc", "registry=http://npm.acme.dev/ ; x\n", byHTTP},
		{"a quoted key, which npm reads as JSON", "npm", ".npmrc", "\"reg\\u0069stry\"=\"ht\\u0074p://npm.acme.dev/\"\n", byHTTP},
		{"a quoted key alone", "npm", ".npmrc", "\"reg\\u0069stry\"=\"x\"\n", errForm.Error()},
		{"a variable that is not set", "npm", ".npmrc", "registry=ht${NONE?}tp://npm.acme.dev/\n", "a variable in the address"},
		{"a variable in a key", "npm", ".npmrc", "${NONE?}proxy=x\n", errForm.Error()},
		{"a variable in a registry's key", "npm", ".npmrc", "//${NONE?}npm.acme.dev/:_authToken=x\n", errForm.Error()},
		{"a carriage return, which ends a line for npm", "npm", ".npmrc", "fund=false\rproxy=http://x/\n", errForm.Error()},
		{"our variable", "npm", ".npmrc", "//evil.example/:_authToken=${CLERK_TOKEN_ACME}\n", "line 1: it takes a variable"},
		{"our machine's key", "npm", ".npmrc", "//evil.example/:_authToken=${CLERK_MACHINE_SECRET_KEY}\n", "it takes a variable"},
		{"a token that takes precedence", "npm", ".npmrc", "//npm.acme.dev/:_authToken=${NPM_TOKEN}\n", "_authToken for npm.acme.dev, which takes precedence"},
		{"a token for a path", "pnpm", ".npmrc", "//npm.acme.dev/a/:_authToken=x\n", "takes precedence"},
		{"a proxy", "npm", ".npmrc", "proxy=http://evil.example/\n", elsewhere},
		{"a proxy for https", "npm", ".npmrc", " https-proxy = http://evil.example/\n", elsewhere},
		{"npm's other word for it", "npm", ".npmrc", "http-proxy=http://evil.example/\n", elsewhere},
		{"no check of certificates", "npm", ".npmrc", "strict-ssl=false\n", elsewhere},
		{"the same by a key alone", "npm", ".npmrc", "strict-ssl\n", elsewhere},
		{"a certificate authority", "npm", ".npmrc", "cafile=evil.pem\n", elsewhere},
		{"one in the file", "npm", ".npmrc", "ca[]=\"-----BEGIN\"\n", elsewhere},
		{"one for a registry", "pnpm", ".npmrc", "//npm.acme.dev/:cafile=evil.pem\n", elsewhere},
		{"yarn 1's other hosts", "yarn", ".npmrc", "custom-host-suffix=example\n", elsewhere},
		{"another configuration for all users", "npm", ".npmrc", "globalconfig=./other\n", elsewhere},
		{"another user configuration", "npm", ".npmrc", "userconfig=./other\n", elsewhere},
		{"where that of all users is looked for", "npm", ".npmrc", "prefix=./x\n", elsewhere},
		{"a program in git's place", "npm", ".npmrc", "git=./evil.sh\n", elsewhere},
		{"in a section, which others read over", "npm", ".npmrc", "[x]\nproxy=http://evil.example/\n", "line 2: "},
		{"UTF-16", "npm", ".npmrc", "\xff\xfep\x00", "not UTF-8"},

		{"yarn 1", "yarn", ".yarnrc", "registry \"http://npm.acme.dev/\"\n", byHTTP},
		{"a proxy of yarn 1", "yarn", ".yarnrc", "# x\nhttps-proxy \"http://evil.example/\"\n", "line 2: "},
		{"as an option", "yarn", ".yarnrc", "--install.https-proxy \"http://evil.example/\"\n", elsewhere},
		{"as an option for every command", "yarn", ".yarnrc", "--*.cafile evil.pem\n", elsewhere},
		{"yarn 1's environment", "yarn", ".yarnrc", "env:\n  NODE_TLS_REJECT_UNAUTHORIZED \"0\"\n", elsewhere},
		{"yarn 1, in JSON's escapes", "yarn", ".yarnrc", "\"pro\\u0078y\" \"x\"\n", errForm.Error()},

		{"a proxy of yarn", "yarn", ".yarnrc.yml", "nodeLinker: node-modules\nhttpsProxy: http://evil.example\n", "line 2: "},
		{"no check of certificates by yarn", "yarn", ".yarnrc.yml", "enableStrictSsl: false\n", elsewhere},
		{"yarn's settings for one host", "yarn", ".yarnrc.yml", "networkSettings:\n  npm.acme.dev:\n    httpsProxy: x\n", elsewhere},
		{"a certificate authority of yarn", "yarn", ".yarnrc.yml", "\"httpsCaFilePath\": evil.pem\n", elsewhere},
		{"all in one line", "yarn", ".yarnrc.yml", "{httpsProxy: x}\n", errForm.Error()},
		{"YAML's escapes", "yarn", ".yarnrc.yml", "\"https\\x50roxy\": x\n", errForm.Error()},
		{"a key in YAML's long form", "yarn", ".yarnrc.yml", "? httpsProxy\n: x\n", errForm.Error()},
		{"a key with a tag", "yarn", ".yarnrc.yml", "!!str httpsProxy: x\n", errForm.Error()},
		{"a key from elsewhere", "yarn", ".yarnrc.yml", "a: &a\n  httpsProxy: x\n<<: *a\n", errForm.Error()},
		{"our variable in yarn's", "yarn", ".yarnrc.yml", "npmAuthToken: \"${CLERK_TOKEN_ACME}\"\n", "it takes a variable"},
		{"a variable in yarn's registry", "yarn", ".yarnrc.yml", "npmRegistryServer: \"${NONE:-http}://npm.acme.dev\"\n", "a variable in the address"},

		{"pnpm's registries", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: http://npm.acme.dev/\n", "line 2: it asks"},
		{"a proxy of pnpm", "pnpm", "pnpm-workspace.yaml", "packages:\n- a\nhttpsProxy: http://evil.example/\n", "line 3: "},
		{"in npm's spelling", "pnpm", "pnpm-workspace.yaml", "https-proxy: http://evil.example/\n", elsewhere},
		{"no check of certificates by pnpm", "pnpm", "pnpm-workspace.yaml", "strictSsl: false\n", elsewhere},
		{"indented as a whole", "pnpm", "pnpm-workspace.yaml", "  strictSsl: false\n", elsewhere},

		{"bun's registry", "bun", "bunfig.toml", "[install]\nregistry = \"http://npm.acme.dev/\"\n", "line 2: it asks"},
		{"in TOML's escapes", "bun", "bunfig.toml", "[install]\nregistry = \"ht\\u0074p://npm.acme.dev/\"\n", byHTTP},
		{"a certificate authority of bun", "bun", "bunfig.toml", "[install]\ncafile = \"evil.pem\"\n", "line 2: "},
		{"the same in one line", "bun", "bunfig.toml", "install = {\"c\\u0061\" = \"x\"}\n", elsewhere},
		{"a variable in bun's registry", "bun", "bunfig.toml", "[install]\nregistry = \"$REGISTRY\"\n", "a variable in the address"},
		{"bun's environment", "bun", ".env", "X=1\nexport HTTPS_PROXY=http://evil.example/\n", "line 2: "},
		{"bun's registry in it", "bun", ".env.local", "NPM_CONFIG_REGISTRY=https://evil.example\n", elsewhere},
		{"no check of certificates by bun", "bun", ".env.production", "NODE_TLS_REJECT_UNAUTHORIZED=0\n", elsewhere},
		{"bun reads yarn's files as well", "bun", ".yarnrc.yml", "npmRegistryServer: http://npm.acme.dev\n", byHTTP},

		{"a package by its address", "npm", "package.json", "{\"dependencies\":\n{\"x\":\"http://npm.acme.dev/x.tgz\"}}", "line 2: "},
		{"among others", "npm", "package.json", "{\"homepage\": \"http://npm.acme.dev/\",\n\"overrides\": {\"a\": \"http://npm.acme.dev/x.tgz\"}}", "line 2: "},
		{"not JSON", "npm", "package.json", "{\"homepage\": \"http://npm.acme.dev/\",}", byHTTP},
		{"after a comment", "npm", ".npmrc", "# x\nregistry=http://npm.acme.dev/ # y\n", "line 2: "},
		{"in JSON's escapes", "npm", "package.json", `{"dependencies":{"x":"\u0068ttp:\/\/npm.acme.dev/x.tgz"}}`, byHTTP},
		{"of a package in a workspace", "npm", "packages/a/package.json", `{"dependencies":{"x":"http://npm.acme.dev/x.tgz"}}`, byHTTP},
		{"npm's lock file", "npm", "package-lock.json", `{"resolved":"http://npm.acme.dev/x.tgz"}`, byHTTP},
		{"the registry that npm puts ours in the place of", "npm", "package-lock.json", `{"resolved":"http://registry.npmjs.org/x.tgz"}`, byHTTP},
		{"another that it is told to", "npm", ".npmrc", "replace-registry-host=always\n", elsewhere},
		{"npm's other lock file", "npm", "npm-shrinkwrap.json", `{"resolved":"http://npm.acme.dev/x.tgz"}`, byHTTP},
		{"yarn 1's lock file", "yarn", "yarn.lock", "  resolved \"http://npm.acme.dev/x.tgz#1\"\n", byHTTP},
		{"yarn's lock file", "yarn", "yarn.lock", "  resolution: \"x@npm:1::__archiveUrl=http%3A%2F%2Fnpm.acme.dev%2Fx.tgz\"\n", byHTTP},
		{"encoded twice", "yarn", "yarn.lock", "  resolution: \"x@npm:1::__archiveUrl=http%253A%252F%252Fnpm.acme.dev%252Fx.tgz\"\n", byHTTP},
		{"pnpm's lock file", "pnpm", "pnpm-lock.yaml", "resolution: {tarball: http://npm.acme.dev/x.tgz}\n", byHTTP},
		{"bun's lock file", "bun", "bun.lock", `["x@1", "http://npm.acme.dev/x.tgz", {}, ""]`, byHTTP},
		{"a comma in a user's name, at which other readers end", "npm", ".npmrc", "registry=http://a,b@npm.acme.dev/\n", byUser},
		{"other signs in it", "npm", ".npmrc", "registry=http://a;)}|'<>b@npm.acme.dev/\n", byUser},
		{"a blank in it", "npm", ".npmrc", "registry=http://a b@npm.acme.dev/\n", byUser},
		{"a quote in it", "npm", "package-lock.json", `{"resolved":"http://a\"b@npm.acme.dev/x.tgz"}`, byUser},
		{"in npm's lock file", "npm", "package-lock.json", `{"resolved":"http://a,b@npm.acme.dev/x.tgz"}`, byUser},
		{"its end encoded", "yarn", "yarn.lock", "  resolution: \"x@npm:1::__archiveUrl=http%3A%2F%2Fa%2Cb%40npm.acme.dev%2Fx.tgz\"\n", byUser},
		{"fullwidth letters in JSON's escapes", "npm", "package-lock.json", `{"resolved":"http://\uff4epm.acme.dev/x.tgz"}`, errForm.Error()},
		{"a backslash before a letter that is an escape elsewhere", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: http:\\npm.acme.dev/\n", byHTTP},

		{"over two lines", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: \"http:\\\n    //npm.acme.dev/\"\n", "line 2: it asks"},
		{"over two lines, within the host", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: \"http://npm.\\\n    acme.dev/\"\n", byHTTP},
		{"over two lines, within the scheme", "pnpm", "pnpm-workspace.yaml", "overrides:\n  x: \"ht\\\r\n    tp://npm.acme.dev/x.tgz\"\n", byHTTP},
		{"a block, whose line ends URLs pass over", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: |-\n    http:\n    //npm.acme.dev/\n", byHTTP},
		{"a folded block", "pnpm", "pnpm-workspace.yaml", "overrides:\n  x: >-\n    http:\n\n    npm.acme.dev/x.tgz\n", byHTTP},
		{"a block that ends with the host", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: |-\n    http://npm.\n    acme.dev\n  x: y\n", byHTTP},
		{"a block with a user's name", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: |-\n    http://a\n    b@npm.acme.dev/\n", byHTTP},
		{"a block with fullwidth letters", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: |-\n    http:\n    //ｎpm.acme.dev/\n", byHTTP},
		{"a block with a number", "pnpm", "pnpm-workspace.yaml", "registries:\n  default: |-\n    http:\n    //167838211/\n", byHTTP},
		{"a block below another scheme", "pnpm", "pnpm-workspace.yaml", "a: http:x\nb: |-\n  http:\n  //npm.acme.dev/\n", byHTTP},
		{"plain, with an empty line", "yarn", ".yarnrc.yml", "npmRegistryServer: http://npm.\n\n  acme.dev/\n", byHTTP},
		{"over two lines of pnpm's lock file", "pnpm", "pnpm-lock.yaml", "resolution:\n  tarball: |-\n    http:\n    //npm.acme.dev/x.tgz\n", byHTTP},
		{"over two lines of yarn's", "yarn", "yarn.lock", "\"x@1\":\n  resolution: \"x@http:\\\n    //npm.acme.dev/x.tgz\"\n", byHTTP},
		{"over two lines of TOML", "bun", "bunfig.toml", "[install]\nregistry = \"\"\"http:\\\n  //npm.acme.dev/\"\"\"\n", byHTTP},
		{"a proxy for what is published", "npm", "package.json", "{\"publishConfig\":{\"registry\":\"https://npm.acme.dev/\",\n\"https-proxy\":\"http://127.0.0.1:9977\"}}", "line 2: \"https-proxy\" can lead"},
		{"no check of certificates for it", "npm", "package.json", `{"publishConfig":{"strict-ssl":false}}`, elsewhere},
		{"the same as its second", "npm", "package.json", `{"publishConfig":{},"publish\u0043onfig":{"strict-\u0073sl":false}}`, elsewhere},
		{"a token for it", "npm", "package.json", `{"publishConfig":{"//npm.acme.dev/:_authToken":"x"}}`, elsewhere},
		{"its registry", "npm", "package.json", `{"publishConfig":{"registry":"http://npm.acme.dev/"}}`, byHTTP},
		{"it in a manifest that is not JSON", "npm", "package.json", `{"publishConfig":{"strict-ssl":false},}`, errForm.Error()},
		{"it in pnpm's other manifest", "pnpm", "package.yaml", "publishConfig:\n  strict-ssl: false\n", errForm.Error()},
		{"over two lines", "pnpm", "package.yaml", "? \"publish\\\n  Config\"\n: strict-ssl: false\n", errForm.Error()},

		{"pnpm's other manifest", "pnpm", "package.yaml", "dependencies:\n  x: http://npm.acme.dev/x.tgz\n", "line 2: it asks"},
		{"its third", "pnpm", "package.json5", "{dependencies: {x: 'http://npm.acme.dev/x.tgz'}}", byHTTP},
		{"which has escapes of its own", "pnpm", "package.json5", "{dependencies: {x: 'http://npm\\.acme.dev/x.tgz'}}", errForm.Error()},
		{"pnpm's lock file of a branch", "pnpm", "pnpm-lock.a!b.yaml", "resolution: {tarball: http://npm.acme.dev/x.tgz}\n", byHTTP},
		{"its lock file elsewhere", "pnpm", "pnpm-workspace.yaml", "lockfileDir: node_modules/x\n", elsewhere},
		{"the same in .npmrc", "pnpm", ".npmrc", "lockfile-dir=node_modules/x\n", elsewhere},
		{"a lock file for each branch", "pnpm", "pnpm-workspace.yaml", "gitBranchLockfile: true\n", elsewhere},
		{"the same in .npmrc", "pnpm", ".npmrc", "git-branch-lockfile=true\n", elsewhere},

		{"a workspace outside", "npm", "package.json", "{\"workspaces\":[\n\"../lib\"]}", "line 2: " + outside},
		{"the folder above", "npm", "package.json", `{"workspaces":{"packages":["a/../.."]}}`, outside},
		{"a workspace of pnpm outside", "pnpm", "pnpm-workspace.yaml", "packages: [\"../lib\",\".\"]\n", outside},
		{"the same as a list", "pnpm", "pnpm-workspace.yaml", "packages:\n  - .\n  - ../lib\n", "line 3: " + outside},
		{"the same over two lines", "pnpm", "pnpm-workspace.yaml", "packages:\n  - \".\\\n    ./lib\"\n", outside},
		{"a folder outside", "npm", "package.json", `{"dependencies":{"lib":"file:../lib"}}`, outside},
		{"one that is linked", "yarn", "package.json", `{"devDependencies":{"lib":"link:../lib"}}`, outside},
		{"without a scheme", "npm", "package.json", `{"dependencies":{"lib":"..\\lib"}}`, outside},
		{"with percent signs", "npm", "package.json", `{"dependencies":{"lib":"file:%2e%2e/lib"}}`, outside},
		{"of a package", "npm", "a/package.json", `{"dependencies":{"lib":"file:../../lib"}}`, outside},
		{"in the place of another", "pnpm", "package.json", `{"pnpm":{"overrides":{"lib":"link:../lib"}}}`, outside},
		{"in a manifest that is not JSON", "npm", "package.json", `{"workspaces":["../lib"],}`, outside},
		{"in npm's lock file", "npm", "package-lock.json", `{"packages":{"node_modules/lib":{"resolved":"../lib","link":true}}}`, outside},
		{"by its whole path", "npm", "package.json", `{"dependencies":{"lib":"file:///srv/lib"}}`, outside},
		{"the same without a scheme", "npm", "package.json", `{"name":"a","dependencies":{"lib":"/srv/lib"}}`, outside},
		{"in the home folder", "npm", "package.json", `{"dependencies":{"lib":"~/lib"}}`, outside},

		{"a tarball, whose manifest is not looked at", "npm", "package.json", "{\"dependencies\":{\n\"lib\":\"file:lib.tgz\"}}", "line 2: " + tarball},
		{"without a scheme", "npm", "package.json", `{"optionalDependencies":{"lib":"./a/lib.TAR.GZ"}}`, tarball},
		{"in the place of another", "npm", "package.json", `{"overrides":{"lib":"file://lib.tar"}}`, tarball},
		{"in pnpm's settings", "pnpm", "pnpm-workspace.yaml", "overrides:\n  lib: file:lib.tgz\n", tarball},
		{"in npm's lock file", "npm", "package-lock.json", `{"resolved":"file:lib.tgz"}`, tarball},
		{"which program is not known", "", "bunfig.toml", "[install]\nca = \"x\"\n", elsewhere},
	} {
		files := map[string]string{"package.json": "{}"}
		files[row.file] = row.text
		r := Repository{Config: acme(t), Program: row.program}
		_, err := r.Check(in(t, files))
		var request *RequestError
		if !errors.As(err, &request) || !strings.Contains(err.Error(), row.want) || !strings.Contains(err.Error(), filepath.Base(row.file)+": ") {
			t.Errorf("%s: %q: %v, not %q", row.reason, row.text, err, row.want)
		}
	}
}

// TestRepositoryPasses: what repositories are like.
func TestRepositoryPasses(t *testing.T) {
	for _, row := range []struct {
		reason, program, file, text string
		want                        []string
	}{
		{"our registry", "npm", ".npmrc", "@acme:registry=https://npm.acme.dev/npm/\n", []string{"npm.acme.dev/npm"}},
		{"one of a wildcard", "npm", ".npmrc", "registry = \"https://a.pkg.acme.dev\"\n", []string{"a.pkg.acme.dev"}},
		{"loopback", "npm", ".npmrc", "registry=http://127.0.0.1:4873/\n", nil},
		{"http elsewhere, which gets no token", "npm", ".npmrc", "registry=http://nexus.example/\n", nil},
		{"a host that only looks like ours", "npm", ".npmrc", "registry=http://npm.acme.dev.evil.example/\n", nil},
		{"a token of another registry", "npm", ".npmrc", "//npm.pkg.github.com/:_authToken=${GITHUB_TOKEN}\n", nil},
		{"what npm has besides", "npm", ".npmrc", "# proxy=x\n; cafile=y\nfund=false\naudit-level=high\nengine-strict=true\nstrict-ssl=true\nmessage=\"a $1\"\nsave-prefix=~\ngit-tag-version=false\n", nil},
		{"another's files", "npm", ".yarnrc.yml", "httpsProxy: x\n", nil},
		{"another's environment", "pnpm", ".env", "HTTPS_PROXY=x\n", nil},
		{"yarn 1", "yarn", ".yarnrc", "# yarn lockfile v1\n\n\nlastUpdateCheck 1\nyarn-path \".yarn/releases/yarn-1.22.19.js\"\n\"@acme:registry\" \"https://npm.acme.dev/\"\n", []string{"npm.acme.dev"}},
		{"yarn", "yarn", ".yarnrc.yml", "yarnPath: .yarn/releases/yarn-4.cjs\nplugins:\n  - path: .yarn/plugins/x.cjs\n    spec: \"@yarnpkg/x\"\nnpmScopes:\n  acme:\n    npmRegistryServer: \"https://npm.acme.dev\"\n    npmAuthToken: \"${NPM_TOKEN:-}\"\n", []string{"npm.acme.dev"}},
		{"pnpm", "pnpm", "pnpm-workspace.yaml", "packages:\n  - 'packages/*'\n  - \"!**/test\"\ncatalog:\n  http-proxy: ^1.18.1\n  ca: 1.0.0\nonlyBuiltDependencies:\n- esbuild\n", nil},
		{"bun", "bun", "bunfig.toml", "[install]\nregistry = { url = \"https://npm.acme.dev\", token = \"$npm_token\" }\n[test]\ncoverage = true\n", []string{"npm.acme.dev"}},
		{"an environment", "bun", ".env", "DATABASE_URL=postgres://localhost/x\nAPI=\"http://example.com\"\n", nil},
		{"a lock file", "npm", "package-lock.json", "{\"resolved\": \"https://npm.acme.dev/x/-/x-1.tgz\",\n\"funding\": \"http://example.com/x\"}", []string{"npm.acme.dev"}},
		{"addresses for people", "npm", "package.json", "{\"homepage\": \"http://npm.acme.dev/\", \"repository\": {\"url\": \"http://npm.acme.dev/x.git\"}}", nil},
		{"a comment", "npm", ".npmrc", "# registry=http://npm.acme.dev/\n ; @a:registry=http://npm.acme.dev/\n", nil},
		{"a comment in YAML", "pnpm", "pnpm-workspace.yaml", "# httpProxy: x\npackages: []\n  # http://npm.acme.dev\n", nil},
		{"a scope below an address without a path", "npm", ".npmrc", "registry=http://nexus.example\n@acme:registry=https://npm.acme.dev/\n", []string{"npm.acme.dev"}},
		{"a package of the name http", "pnpm", "pnpm-lock.yaml", "importers:\n  .:\n    dependencies:\n      http:\n        specifier: 0.0.1\n      https:\n        specifier: ^1.0.0\npackages:\n  q@1.5.1:\n    deprecated: |-\n      See http://example.com\n      (and @endo/captp)\n  a@1.0.0: {}\n", nil},
		{"a user's name for another host by https", "npm", ".npmrc", "registry=https://a,b@nexus.example/\n", nil},
		{"addresses in one line", "npm", "package-lock.json", `{"a":{"resolved":"http://nexus.example/@a/x.tgz"},"b":"http:\/\/nexus.example\/","node_modules/@a/b":{}}`, nil},
		{"what is published where", "npm", "package.json", `{"publishConfig":{"registry":"https://npm.acme.dev/","@acme:registry":"https://npm.acme.dev/","access":"public","tag":"next","provenance":true,"directory":"dist","main":"./a.js","exports":{},"ignore":["test"]}}`, []string{"npm.acme.dev"}},
		{"a workspace", "npm", "package.json", `{"workspaces":["packages/*","apps/a/../b"],"dependencies":{"a":"file:packages/a","b":"https://npm.example/b.tgz","c":"~1.2.3","d":"git+https://npm.example/d.tgz#v1"},"main":"../x.js"}`, nil},
		{"a package that names another", "npm", "packages/a/package.json", `{"dependencies":{"b":"file:../b","c":"link:../../c"},"eslintConfig":{"extends":"../../../x"}}`, nil},
		{"a workspace of pnpm", "pnpm", "pnpm-workspace.yaml", "packages:\n  - packages/*\n  # ../x\n  - '!**/..x/**'\noverrides:\n  a: link:./a\nstoreDir: /srv/store\n", nil},
		{"pnpm's other manifest", "pnpm", "package.yaml", "name: a\ndependencies:\n  x: ^1.0.0\n", nil},
		{"npm's lock file of a workspace", "npm", "package-lock.json", "{\"node_modules/a\":{\"resolved\":\"packages/a\",\"link\":true},\n\"x\":{\"resolved\":\"https://registry.npmjs.org/x/-/x-1.tgz\"}}", nil},
		{"text", "npm", "package.json", "{\"description\": \"speaks http: and more\"}", nil},
		{"a program in a folder of packages", "npm", "node_modules/x/package.json", "{\"homepage\": \"http://npm.acme.dev/\"}", nil},
	} {
		files := map[string]string{"package.json": "{}"}
		files[row.file] = row.text
		got, err := Repository{Config: acme(t), Program: row.program}.Check(in(t, files))
		if err != nil || !slices.Equal(got, row.want) {
			t.Errorf("%s: %v, %q, not %q", row.reason, err, got, row.want)
		}
	}
}

// TestRepositoryPlaces: the package managers read the folders above, and the user's own files are the user's.
func TestRepositoryPlaces(t *testing.T) {
	const bad = "proxy=http://evil.example/\n"
	for _, row := range []struct {
		reason, file, run string
		home, user        string
		refused           bool
	}{
		{"the folder above", ".npmrc", "a/b", "", "", true},
		{"a package of a workspace", "a/b/.npmrc", ".", "", "", true},
		{"deeper than workspaces usually are", "a/b/c/d/.npmrc", ".", "", "", true},
		{"in letters that other file systems read as small ones", ".NPMRC", ".", "", "", true},
		{"a package that is installed", "node_modules/x/.npmrc", ".", "", "", false},
		{"another repository of the user's, whose home folder has a package.json", "other/.npmrc", "a", ".", "", false},
		{"the same above the home folder", "other/.npmrc", "a", "a", "", false},
		{"the user's own", ".npmrc", "a", ".", "", false},
		{"the user's own, elsewhere", "a/.npmrc", "a", "", "a/.npmrc", false},
		{"a repository below the home folder", "a/.npmrc", "a", ".", "", true},
	} {
		root := in(t, map[string]string{"package.json": "{}", row.file: bad, "a/b/x": ""})
		r := Repository{Config: acme(t), Program: "npm"}
		if row.home != "" {
			r.Home = filepath.Join(root, row.home)
		}
		if row.user != "" {
			r.User = filepath.Join(root, row.user)
		}
		if _, err := r.Check(filepath.Join(root, row.run)); (err != nil) != row.refused {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

// TestRepositoryOddFolders: a folder that cannot be listed, and names that are there twice.
func TestRepositoryOddFolders(t *testing.T) {
	r := Repository{Config: acme(t), Program: "npm"}
	root := in(t, map[string]string{"package.json": "{}", "PACKAGE.JSON": "{}", "a/.npmrc": "fund=false\n", "a/.Npmrc": "proxy=http://evil.example/\n"})
	if _, err := r.Check(root); err == nil {
		t.Error("one of two names is enough to be read")
	}
	if platform.Allows(root, 0o077) || os.Getuid() == 0 {
		t.Log("SKIP, the folder that cannot be listed: root lists all")
		return
	}
	root = in(t, map[string]string{".npmrc": "proxy=http://evil.example/\n", "a/x": ""})
	if err := os.Chmod(root, 0o300); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Check(filepath.Join(root, "a")); err == nil {
		t.Error("the folder above is closed, and its file is not")
	}
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestPackageManager(t *testing.T) {
	for program, want := range map[string]string{
		"npm": "npm", "/usr/bin/npm": "npm", `C:\Program Files\nodejs\npm.cmd`: "npm", "NPX.exe": "npm", "pnpm": "pnpm", "pnpm10": "pnpm", "./node_modules/.bin/pnpm": "pnpm",
		"npm-cli.js": "npm", "npx-cli.js": "npm", "pnpm.cjs": "pnpm", "pnpm.mjs": "pnpm", "yarn.js": "yarn", "npm@11": "npm", "bun.exe": "bun",
		"yarn": "yarn", "yarnpkg": "yarn", "yarn-1.22.19": "yarn", "bun": "bun", "bunx": "bun",
		"node": "", "npm-check": "", "make": "", "": "", "sh": "", "npmrc": "", "bundle": "", "corepack": "",
	} {
		if got := PackageManager(program); got != want {
			t.Errorf("%q is %q, not %q", program, got, want)
		}
	}
}

func TestNamesPackageManager(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("PATH", folder)
	if err := os.WriteFile(filepath.Join(folder, "npm-cli.js"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("npm-cli.js", filepath.Join(folder, "install-all")); err != nil {
		t.Skip(err)
	}
	for _, row := range []struct {
		command string
		want    bool
	}{
		{"npm ci", true}, {"env CI=1 npm install", true}, {"timeout 60 /usr/bin/npm ci", true}, {"corepack pnpm install", true}, {"corepack pnpm@10.1.0", true},
		{"cross-env A=b npx x", true}, {"sudo -E yarn", true}, {"node npm-cli.js ci", true}, {"install-all", true}, {"nice install-all", true}, {"echo npm", true},
		{"make deps", false}, {"env NPM_TOKEN=x deploy", false}, {"cat ~/.npmrc", false}, {"deploy --npm", false}, {"node index.js", false}, {"", false},
	} {
		if got := NamesPackageManager(strings.Fields(row.command), exec.LookPath); got != row.want {
			t.Errorf("%q: %v", row.command, got)
		}
	}
	if !NamesPackageManager([]string{"sh", "-c", "cd x&&(npm ci)"}, exec.LookPath) || !NamesPackageManager([]string{"env", "-S", "CI=1 npm ci"}, exec.LookPath) {
		t.Error("a command in a word is not seen")
	}
}

// TestYarnPluginOfHosts: the token is in no table that a request's address is looked up in.
func TestYarnPluginOfHosts(t *testing.T) {
	text, err := yarnPlugin(acme(t).Profiles[0], []string{"npm.acme.dev"}, "ey.J")
	if err != nil {
		t.Fatal(err)
	}
	table, _, _ := strings.Cut(string(text), "\n")
	if strings.Contains(table, "ey.J") || !strings.Contains(string(text), "const token = \"ey.J\";") || !strings.Contains(string(text), "Object.hasOwn") {
		t.Errorf("%s", text)
	}
}

func TestNPMUserConfig(t *testing.T) {
	for _, row := range []struct{ reason, text, want string }{
		{"no file", "", "//npm.acme.dev/:_authToken=ey.J\n"},
		{"the user's own settings stay", "cafile=/etc/ca.pem\n//npm.example.org/:_authToken=x\n", "cafile=/etc/ca.pem\n//npm.example.org/:_authToken=x\n//npm.acme.dev/:_authToken=ey.J\n"},
		{"without a line end", "fund=false", "fund=false\n//npm.acme.dev/:_authToken=ey.J\n"},
		{"before a section, of which npm would take it for a part", "a=1\n[x]\nb=2\n", "a=1\n//npm.acme.dev/:_authToken=ey.J\n[x]\nb=2\n"},
		{"what an earlier setup has written", "//npm.acme.dev/:_authToken=${CLERK_TOKEN_ACME}\na=1\n", "a=1\n//npm.acme.dev/:_authToken=ey.J\n"},
		{"the same by hand, for a path", "//npm.acme.dev/x/:_authToken = \"${CLERK_TOKEN}\"\n", "//npm.acme.dev/:_authToken=ey.J\n"},
		{"a token of the user's own comes first, and npm takes the last", "//npm.acme.dev/:_authToken=old\n", "//npm.acme.dev/:_authToken=old\n//npm.acme.dev/:_authToken=ey.J\n"},
	} {
		if got, err := npmUserConfig([]byte(row.text), []string{"npm.acme.dev"}, "ey.J", false); err != nil || string(got) != row.want {
			t.Errorf("%s: %v %q, not %q", row.reason, err, got, row.want)
		}
	}
	if got, err := npmUserConfig([]byte("[x]\n"), []string{"npm.acme.dev"}, "ey.J", true); err != nil ||
		string(got) != "//npm.acme.dev/:_authToken=ey.J\n//npm.acme.dev/:always-auth=true\n[x]\n" {
		t.Errorf("for yarn: %q, %v", got, err)
	}
	for _, token := range []string{"", "a b", "a;b", "a#b", "${X}", "a\nb=c", `a\b`, `"a"`} {
		if _, err := npmUserConfig(nil, []string{"npm.acme.dev"}, token, false); err == nil || token != "" && strings.Contains(err.Error(), token) {
			t.Errorf("%q: %v", token, err)
		}
		if _, err := yarnPlugin(acme(t).Profiles[0], []string{"npm.acme.dev"}, token); err == nil {
			t.Errorf("yarn: %q is taken", token)
		}
	}
	p := acme(t).Profiles[0]
	if got := npmRegistries(p, []string{"a.pkg.acme.dev/npm", "npm.acme.dev"}); !slices.Equal(got, []string{"10.1.2.3", "127.0.0.1:4873", "a.pkg.acme.dev", "a.pkg.acme.dev/npm", "npm.acme.dev", "npm.acme.dev:8443"}) {
		t.Errorf("%q", got)
	}
}

// TestRepositoryLinks: a shell and Go name a folder by the way there, and Node by its place.
func TestRepositoryLinks(t *testing.T) {
	const bad = "proxy=http://evil.example/\n"
	r := Repository{Config: acme(t), Program: "npm"}
	for _, file := range []string{"deep/.npmrc", ".npmrc"} {
		root := in(t, map[string]string{"deep/package.json": "{}", "deep/inner/x": "", file: bad})
		if err := os.Symlink(filepath.FromSlash("deep/inner"), filepath.Join(root, "link")); err != nil {
			t.Skip(err)
		}
		t.Chdir(filepath.Join(root, "link"))
		t.Setenv("PWD", filepath.Join(root, "link"))
		if _, err := r.Check("."); err == nil {
			t.Errorf("%s is not found", file)
		}
		t.Chdir(t.TempDir())
		if _, err := r.Check(root + "/link/.."); err == nil {
			t.Errorf("%s is not found from outside", file)
		}
	}
	// A home folder behind a link is the user's by both names.
	home := in(t, map[string]string{".npmrc": bad, "package.json": "{}", "a/package.json": "{}", "b/.npmrc": bad})
	link := filepath.Join(t.TempDir(), "home")
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	r.Home, r.User = link, filepath.Join(link, ".npmrc")
	for _, folder := range []string{home, link} {
		if _, err := r.Check(filepath.Join(folder, "a")); err != nil {
			t.Error(err)
		}
	}
}

// TestOwnProxy: a person's own proxy may want a name and a password.
func TestOwnProxy(t *testing.T) {
	const proxy = "http://ada:pass@proxy.example:3128/"
	home := in(t, map[string]string{".npmrc": "proxy=" + proxy + "\n", ".yarnrc.yml": "httpsProxy: \"" + proxy + "\"\n", "a/package.json": "{}"})
	t.Chdir(filepath.Join(home, "a"))
	r := Repository{Config: acme(t), Home: home, User: filepath.Join(home, "npmrc")}
	if _, err := r.CheckCommand([]string{"ci", "--proxy=" + proxy}, []string{"npm_config_https_proxy=" + proxy}, []byte("proxy="+proxy+"\n")); err != nil {
		t.Error(err)
	}
	if _, err := r.CheckCommand(nil, nil, []byte("registry=http://ada@npm.acme.dev/\n")); err == nil {
		t.Error("the user's own file sends the token by http")
	}
}

// TestRepositoryRoots: the folder with .git is what was cloned, and a workspace may be anywhere in it.
func TestRepositoryRoots(t *testing.T) {
	r := Repository{Config: acme(t), Program: "npm"}
	for _, git := range []string{".git/HEAD", ".git"} {
		root := in(t, map[string]string{git: "x", "app/package.json": `{"dependencies":{"lib":"file:../lib"}}`, "lib/package.json": "{}"})
		if _, err := r.Check(filepath.Join(root, "app")); err != nil {
			t.Errorf("%s: %v", git, err)
		}
		root = in(t, map[string]string{git: "x", "app/package.json": "{}", "lib/package.json": `{"dependencies":{"x":"http://npm.acme.dev/x.tgz"}}`})
		if _, err := r.Check(filepath.Join(root, "app")); err == nil {
			t.Errorf("%s: the library is not looked at", git)
		}
	}
	for _, manifest := range []string{"package.yaml", "package.json5"} {
		root := in(t, map[string]string{manifest: "{}", "a/.npmrc": "proxy=http://evil.example/\n"})
		if _, err := (Repository{Config: acme(t), Program: "pnpm"}).Check(root); err == nil {
			t.Errorf("%s makes no root", manifest)
		}
	}
}
