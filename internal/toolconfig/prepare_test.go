package toolconfig

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/protocol"
)

// prepare gives a tool the token in a folder, with a home of its own, and returns the variables that are new, each with
// the text of the file that it names, or the error.
func prepare(t *testing.T, tool, folder string, files map[string]string, environ ...string) string {
	t.Helper()
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	for name, text := range files {
		file := filepath.Join(home, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(folder)
	env := Env{Getenv: func(name string) string { return map[string]string{"HOME": home, "LocalAppData": home}[name] }}
	prepared, err := Prepare(env, tool, acme(t).Profiles[0], []string{"sh", "-c", "make"}, environ, "ey.a-b_c")
	if err != nil {
		return "error: " + err.Error()
	}
	var out []string
	var paths []string
	for _, variable := range prepared.Environ[len(environ):] {
		name, value, _ := strings.Cut(variable, "=")
		for word := range strings.FieldsSeq(value) {
			if text, err := os.ReadFile(word); err == nil {
				if info, err := os.Stat(word); err != nil || platformModes && info.Mode().Perm() != 0o600 {
					t.Errorf("%s: %v, %v", name, info, err)
				}
				paths = append(paths, word)
				value = strings.ReplaceAll(value, word, "<"+string(text)+">")
			}
		}
		out = append(out, name+"="+value)
	}
	for _, err := range prepared.LeftOut {
		out = append(out, "left out: "+err.Error())
	}
	if err := prepared.Remove(); err != nil {
		t.Error(err)
	}
	for _, path := range paths {
		if _, err := os.Stat(filepath.Dir(path)); err == nil {
			t.Errorf("%s is left", path)
		}
	}
	return strings.Join(out, "\n")
}

const platformModes = os.PathSeparator == '/' // modes are a matter of Unix

// TestPrepare: which hosts and registries a tool is given, in projects and homes of every kind. want is a part of the
// variables, or "error: " and a part of the error; "!" before a part: it is not there.
func TestPrepare(t *testing.T) {
	const settings = "<settings><servers><server><id>mine</id><password>p</password></server></servers></settings>"
	pom := func(repositories string) string { return "<project>" + repositories + "</project>" }
	repository := func(id, address string) string {
		return "<repositories><repository><id>" + id + "</id><url>" + address + "</url></repository></repositories>"
	}
	for _, row := range []struct {
		reason, tool string
		project      map[string]string
		home         map[string]string
		environ      string
		want         []string
	}{
		{"named hosts, not those with a port", "uv", nil, nil, "", []string{"machine npm.acme.dev login clerk password ey.a-b_c", "machine 10.1.2.3 ", "!127.0.0.1", "!pkg.acme.dev", "!default", "!left out"}},
		{"a host below a wildcard that the project names", "poetry", map[string]string{"pyproject.toml": "url = \"https://py.pkg.acme.dev/simple/\"\n"}, nil, "", []string{"machine py.pkg.acme.dev login"}},
		{"one that the lock file names", "hex", map[string]string{"mix.lock": "https://hex.pkg.acme.dev/x"}, nil, "", []string{"machine hex.pkg.acme.dev login"}},
		{"another host", "conda", map[string]string{"environment.yml": "channels:\n  - https://evil.dev/conda\n  - https://npm.acme.dev.evil.dev/x\n"}, nil, "", []string{"!evil"}},
		{"a host with a port that the project names", "pdm", map[string]string{"pyproject.toml": "url = \"https://npm.acme.dev:8443/simple/\"\n"}, nil, "",
			[]string{"left out: pdm: it takes a name, whatever the port: other services of \"npm.acme.dev:8443\" would get the token"}},
		{"a port that is in no profile", "uv", map[string]string{"uv.toml": "\n[[index]]\nurl = \"https://npm.acme.dev:9000/simple/\"\n"}, nil, "",
			[]string{`error: `, `uv.toml: line 3: it asks for another port of "npm.acme.dev", which would get the token too; no token is handed out`}},
		{"by http", "apk", nil, nil, "", []string{"NETRC=<machine"}},
		{"by http in a project", "poetry", map[string]string{"pyproject.toml": "url = \"http://npm.acme.dev/simple/\"\n"}, nil, "", []string{`error: `, `line 1: it asks for "npm.acme.dev" by http`}},
		{"by http in a folder below, which poetry reads not", "poetry", map[string]string{"x/pyproject.toml": "url = \"http://npm.acme.dev/simple/\"\n", ".git/HEAD": ""}, nil, "", []string{"machine"}},
		{"by http in a folder below, which terraform may read", "terraform", map[string]string{"x/main.tf": "source = \"http://npm.acme.dev/x\"\n", ".git/HEAD": ""}, nil, "", []string{"error: ", "main.tf: line 1"}},
		{"the same without .git", "terraform", map[string]string{"x/main.tf": "source = \"http://npm.acme.dev/x\"\n"}, nil, "", []string{"error: ", "main.tf: line 1"}},
		{"a person's netrc", "nix", nil, map[string]string{".netrc": "default login a password b\n"}, "NIX_CONFIG=cores = 1",
			[]string{"NIX_CONFIG=cores = 1\nnetrc-file = <machine ", "\ndefault login a password b\n"}},
		{"a netrc that a variable names", "hex", nil, map[string]string{"mine": "machine x.dev login a password b\n", ".netrc": "machine y.dev login a password b\n"}, "NETRC=HOME/mine", []string{"machine x.dev login a", "!y.dev"}},
		{"an entry for the same host", "uv", nil, map[string]string{".netrc": "machine npm.acme.dev login a password b\n"}, "", []string{"error: uv: your netrc has an entry for npm.acme.dev"}},

		{"bundler, by name", "bundler", nil, nil, "", []string{"BUNDLE_NPM__ACME__DEV=clerk:ey.a-b_c", "!8443", "!127"}},
		{"composer, with ports, and what is there already", "composer", nil, nil, `COMPOSER_AUTH={"bearer":{"x.dev":"t"}}`,
			[]string{`"127.0.0.1:4873":{"password":"ey.a-b_c","username":"clerk"}`, `"npm.acme.dev:8443"`, `"bearer":{"x.dev":"t"}`}},
		{"docker takes no wildcards", "docker", nil, nil, "", []string{`{"auths":{`, `"npm.acme.dev":{"auth":"Y2xlcms6ZXkuYS1iX2M="}`, "!pkg.acme.dev"}},
		{"helm, and a person's registries", "helm", nil, map[string]string{".config/helm/registry/config.json": `{"auths":{"x.dev":{"auth":"eA=="}}}`}, "", []string{"HELM_REGISTRY_CONFIG=<", `"x.dev":{"auth":"eA=="}`}},
		{"gradle, by the profile's name", "gradle", nil, nil, "", []string{"ORG_GRADLE_PROJECT_acmeUsername=clerk", "ORG_GRADLE_PROJECT_acmePassword=ey.a-b_c"}},
		{"gradle with a proxy", "gradle", map[string]string{"gradle.properties": "systemProp.https.proxyHost=evil.dev\n"}, nil, "", []string{"error: ", `"proxyHost" can lead requests elsewhere`}},
		{"a person's own proxy", "gradle", nil, map[string]string{"gradle.properties": "systemProp.https.proxyHost=x\n"}, "", []string{"acmePassword"}},
		{"terraform, with ports", "terraform", nil, nil, "", []string{"TF_TOKEN_npm_acme_dev=ey.a-b_c", "TF_TOKEN_npm_acme_dev:8443=ey.a-b_c"}},
		{"deno, addresses alone", "deno", map[string]string{"deno.json": `{"imports":{"x":"https://npm.acme.dev/x.ts"}}`}, nil, "",
			[]string{"DENO_AUTH_TOKENS=ey.a-b_c@10.1.2.3;ey.a-b_c@127.0.0.1:4873", "left out: deno: it would send the token to all hosts below \"npm.acme.dev\" too"}},
		{"twine without an address", "twine", nil, nil, "", []string{"error: twine has one user name and password for all addresses: set TWINE_REPOSITORY_URL"}},
		{"twine", "twine", nil, nil, "TWINE_REPOSITORY_URL=https://npm.acme.dev/upload/", []string{"TWINE_USERNAME=clerk\nTWINE_PASSWORD=ey.a-b_c"}},
		{"R has two files", "r", nil, map[string]string{".Rprofile": "x"}, "", []string{"R_PROFILE_USER=<local(", "--netrc-file '"}},

		{"maven, by the project's name", "maven", map[string]string{"pom.xml": pom(repository("corp", "https://mvn.pkg.acme.dev/releases"))}, map[string]string{".m2/settings.xml": settings}, "MAVEN_ARGS=-B",
			[]string{"MAVEN_ARGS=-B --settings <", "<server><id>corp</id><username>clerk</username><password>ey.a-b_c</password></server><server><id>mine</id>",
				"<mirror><id>corp</id><mirrorOf>corp</mirrorOf><url>https://mvn.pkg.acme.dev/releases</url></mirror>"}},
		{"maven, by a module's name", "maven", map[string]string{"pom.xml": pom(""), "lib/pom.xml": pom(repository("corp", "https://npm.acme.dev/x"))}, nil, "", []string{"<id>corp</id>"}},
		{"maven, another's name", "maven", map[string]string{"pom.xml": pom(repository("corp", "https://npm.acme.dev/x")), "lib/pom.xml": pom(repository("corp", "https://evil.dev/x"))}, nil, "",
			[]string{`error: "corp" is the name of a registry of the profile, and of another: no token is handed out`}},
		{"maven, a person's name for another", "maven", map[string]string{"pom.xml": pom(repository("corp", "https://npm.acme.dev/x"))},
			map[string]string{".m2/settings.xml": "<settings><profiles><profile>" + repository("corp", "https://evil.dev/x") + "</profile></profiles></settings>"}, "", []string{`error: "corp" is the name of`}},
		{"maven, none of ours", "maven", map[string]string{"pom.xml": pom(repository("central", "https://repo.evil.dev/x"))}, nil, "", []string{"error: maven takes a token by a registry's name"}},
		{"maven, what cannot be read", "maven", map[string]string{"pom.xml": "<project>&e;"}, nil, "", []string{"error: ", "pom.xml: it cannot be read as XML"}},
		{"cargo, in a person's own file", "cargo", nil, map[string]string{".cargo/config.toml": "[registries.my-corp]\nindex = \"sparse+https://rs.pkg.acme.dev/index/\"\n"}, "",
			[]string{"CARGO_REGISTRIES_MY_CORP_INDEX=sparse+https://rs.pkg.acme.dev/index/", "CARGO_REGISTRIES_MY_CORP_TOKEN=Bearer ey.a-b_c", "CARGO_REGISTRIES_MY_CORP_CREDENTIAL_PROVIDER=cargo:token"}},
		{"cargo, a project's name for another", "cargo", map[string]string{".cargo/config.toml": "[registries.my_corp]\nindex = \"sparse+https://evil.dev/\"\n"},
			map[string]string{".cargo/config.toml": "[registries.my-corp]\nindex = \"sparse+https://rs.pkg.acme.dev/index/\"\n"}, "", []string{"error: ", "is the name of a registry of the profile, and of another"}},
		{"cargo, what cannot be read", "cargo", map[string]string{".cargo/config.toml": "[registries"}, nil, "", []string{"error: ", "config.toml: it is in a form that cannot be checked here"}},
		{"nuget", "nuget", map[string]string{"NuGet.Config": `<configuration><packageSources><add key="Corp" value="https://npm.acme.dev/v3/index.json" /></packageSources></configuration>`}, nil, "",
			[]string{"NuGetPackageSourceCredentials_Corp=Username=clerk;Password=ey.a-b_c;ValidAuthenticationTypes=Basic"}},
		{"nuget, another's name below", "nuget", map[string]string{"nuget.config": `<configuration><packageSources><add key="Corp" value="https://npm.acme.dev/v3/index.json" /></packageSources></configuration>`,
			"lib/nuget.config": `<configuration><packageSources><add key="corp" value="https://evil.dev/v3/index.json" /></packageSources></configuration>`}, nil, "", []string{"error: ", "and of another"}},
	} {
		t.Run(row.tool+", "+row.reason, func(t *testing.T) {
			var environ []string
			if row.environ != "" {
				environ = []string{row.environ}
			}
			folder := in(t, row.project)
			if err := os.MkdirAll(folder, 0o700); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(row.environ, "HOME/") {
				file := filepath.Join(t.TempDir(), "mine")
				if err := os.WriteFile(file, []byte(row.home["mine"]), 0o600); err != nil {
					t.Fatal(err)
				}
				environ[0] = strings.Replace(row.environ, "HOME/mine", file, 1)
			}
			got := prepare(t, row.tool, folder, row.home, environ...)
			for _, want := range row.want {
				absent := strings.HasPrefix(want, "!")
				if want = strings.TrimPrefix(want, "!"); strings.Contains(got, want) == absent {
					t.Errorf("%q: absent is %v, not %v, in\n%s", want, !absent, absent, got)
				}
			}
			if strings.HasPrefix(got, "error: ") && strings.Contains(got, "ey.a-b_c") {
				t.Errorf("the error has the token: %s", got)
			}
			if fails := strings.HasPrefix(row.want[0], "error: "); fails != strings.HasPrefix(got, "error: ") {
				t.Errorf("%s", got)
			}
		})
	}
}

// TestPrepareRefuses: what cannot stand in the files and variables is refused.
func TestPrepareRefuses(t *testing.T) {
	home := t.TempDir()
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Chdir(home)
	env := Env{Getenv: func(name string) string { return map[string]string{"HOME": home, "LocalAppData": home}[name] }}
	for _, tool := range protocol.RecipeTools()[4:] {
		for _, row := range []struct{ reason, user, token string }{
			{"a line's end in the token", "clerk", "a\nmachine evil.dev"},
			{"a blank in the token", "clerk", "a b"},
			{"a quote in the token", "clerk", `a"b`},
			{"an element in the token", "clerk", "a<b"},
			{"a blank in the user's name", "a b", "ey"},
			{"a semicolon in the user's name", "a;b", "ey"},
		} {
			p := *acme(t).Profiles[0]
			p.Username = row.user
			if _, err := Prepare(env, tool, &p, []string{"sh"}, nil, row.token); err == nil || !strings.Contains(err.Error(), "characters in it that it cannot be given") || strings.Contains(err.Error(), row.token) && row.token != "ey" {
				t.Errorf("%s: %s: %v", tool, row.reason, err)
			}
		}
	}
	if folder, err := platform.RuntimeDir(env.Getenv); err == nil {
		if left, err := filepath.Glob(filepath.Join(folder, "exec", "run-*")); err != nil || left != nil {
			t.Errorf("files are left: %q (%v)", left, err)
		}
	}
}
