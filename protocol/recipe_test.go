package protocol

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// recipeGrant is for hosts and registries of every kind.
func recipeGrant(environ ...string) Grant {
	return Grant{Profile: "acme_dev", User: "ada+ci", Token: "ey.a-b_c", Hosts: []string{"git.acme.dev", "my-pkg.acme.dev:8443"},
		Registries: []Registry{{"corp-x", "https://git.acme.dev/index/", true}}, File: "/run/file", Script: "/run/script", JSON: "JSON", Environ: environ}
}

// TestRecipes compares each row of the table with the form that its tool documents.
func TestRecipes(t *testing.T) {
	const netrc = "machine git.acme.dev login ada+ci password ey.a-b_c\nmachine my-pkg.acme.dev login ada+ci password ey.a-b_c\n"
	const auths = `{"auths":{"git.acme.dev":{"auth":"YWRhK2NpOmV5LmEtYl9j"},"my-pkg.acme.dev:8443":{"auth":"YWRhK2NpOmV5LmEtYl9j"}}}`
	rows := []struct {
		tool, source string // where the form is documented
		environ      []string
		variables    string
		file         string
	}{
		{"bundler", "bundle config, Credentials for gem sources", nil, "BUNDLE_GIT__ACME__DEV=ada%2Bci:ey.a-b_c\nBUNDLE_MY___PKG__ACME__DEV=ada%2Bci:ey.a-b_c", ""},
		{"composer", "getcomposer.org, Authentication for privately hosted packages", []string{`COMPOSER_AUTH={"bearer":{"x.dev":"t"},"http-basic":{"y.dev":{"username":"u","password":"p"}}}`},
			"COMPOSER_AUTH=JSON", `{"bearer":{"x.dev":"t"},"http-basic":{"git.acme.dev":{"password":"ey.a-b_c","username":"ada+ci"},` +
				`"my-pkg.acme.dev:8443":{"password":"ey.a-b_c","username":"ada+ci"},"y.dev":{"password":"p","username":"u"}}}`},
		{"gradle", "docs.gradle.org, Supported repository types, Handling credentials", nil, "ORG_GRADLE_PROJECT_acme_devUsername=ada+ci\nORG_GRADLE_PROJECT_acme_devPassword=ey.a-b_c", ""},
		{"maven", "maven.apache.org, Settings Reference", []string{"MAVEN_ARGS=-B"}, "MAVEN_ARGS=-B --settings /run/file",
			"<settings><mirrors><mirror><id>corp-x</id><mirrorOf>corp-x</mirrorOf><url>https://git.acme.dev/index/</url></mirror></mirrors>" +
				"<servers><server><id>corp-x</id><username>ada+ci</username><password>ey.a-b_c</password></server></servers></settings>"},
		{"poetry", "requests, Authentication, netrc", nil, "NETRC=/run/file", netrc},
		{"pdm", "requests, Authentication, netrc", nil, "NETRC=/run/file", netrc},
		{"uv", "docs.astral.sh, HTTP credentials, netrc files", nil, "NETRC=/run/file", netrc},
		{"conda", "requests, Authentication, netrc", nil, "NETRC=/run/file", netrc},
		{"hex", "Hex.HTTP and Hex.Netrc", nil, "NETRC=/run/file", netrc},
		{"apk", "apk-tools, libfetch/common.c, fetch_netrc_auth", nil, "NETRC=/run/file", netrc},
		{"nix", "nix.conf, netrc-file; NIX_CONFIG", []string{"NIX_CONFIG=cores = 1"}, "NIX_CONFIG=cores = 1\nnetrc-file = /run/file", netrc},
		{"r", "R, Startup and download.file", nil, "R_PROFILE_USER=/run/script", netrc},
		{"cargo", "The Cargo Book, Environment Variables and Registry Authentication", nil, "CARGO_REGISTRIES_CORP_X_INDEX=https://git.acme.dev/index/\n" +
			"CARGO_REGISTRIES_CORP_X_TOKEN=Bearer ey.a-b_c\nCARGO_REGISTRIES_CORP_X_CREDENTIAL_PROVIDER=cargo:token", ""},
		{"terraform", "developer.hashicorp.com, Environment Variable Credentials", nil, "TF_TOKEN_git_acme_dev=ey.a-b_c\nTF_TOKEN_my__pkg_acme_dev:8443=ey.a-b_c", ""},
		{"deno", "docs.deno.com, DENO_AUTH_TOKENS", []string{"DENO_AUTH_TOKENS=t@x.dev"}, "DENO_AUTH_TOKENS=t@x.dev;ey.a-b_c@git.acme.dev;ey.a-b_c@my-pkg.acme.dev:8443", ""},
		{"docker", "docs.docker.com, docker login and DOCKER_AUTH_CONFIG", nil, "DOCKER_AUTH_CONFIG=JSON", auths},
		{"helm", "helm.sh, HELM_REGISTRY_CONFIG", nil, "HELM_REGISTRY_CONFIG=/run/file", auths},
		{"nuget", "learn.microsoft.com, Consuming packages from authenticated feeds", nil,
			"NuGetPackageSourceCredentials_corp-x=Username=ada+ci;Password=ey.a-b_c;ValidAuthenticationTypes=Basic", ""},
		{"twine", "twine.readthedocs.io, Environment Variables", nil, "TWINE_USERNAME=ada+ci\nTWINE_PASSWORD=ey.a-b_c", ""},
	}
	proven := []string{"npm", "pnpm", "yarn", "bun"} // which have a user configuration, and tests of their own
	for _, row := range rows {
		proven = append(proven, row.tool)
		t.Run(row.tool, func(t *testing.T) {
			r, ok := RecipeOf(row.tool)
			if !ok {
				t.Fatal("the table has no such row")
			}
			g := recipeGrant(row.environ...)
			if row.tool == "cargo" {
				r.Names = func([]byte) ([]Registry, error) { return nil, nil }
			}
			variables, words := r.Fill(g, "sh")
			if got := strings.Join(variables, "\n"); got != row.variables || words != nil {
				t.Errorf("%s:\n%s\n%q, not\n%s", row.source, got, words, row.variables)
			}
			if r.File == nil {
				if row.file != "" {
					t.Error("it has no file")
				}
				return
			}
			var own []byte
			if r.OwnPath == "" {
				own = []byte(g.Getenv(r.OwnVariable))
			}
			if text, err := r.File(own, g); err != nil || string(text) != row.file {
				t.Errorf("%s:\n%s (%v), not\n%s", row.source, text, err, row.file)
			}
		})
	}
	for _, tool := range RecipeTools() {
		if !slices.Contains(proven, tool) {
			t.Errorf("%s has no row here", tool)
		}
	}
}

func TestRecipeWords(t *testing.T) {
	r, _ := RecipeOf("maven")
	for program, want := range map[string]bool{"mvn": true, "mvn.cmd": true, "MVN.exe": true, "mvnw": true, "make": false, "mvnx": false} {
		variables, words := r.Fill(recipeGrant(), program)
		if got := slices.Equal(words, []string{"--settings", "/run/file"}) && variables == nil; got != want {
			t.Errorf("%s: %q, %q", program, variables, words)
		}
	}
}

// TestRecipeScript: R's profile calls the person's own first.
func TestRecipeScript(t *testing.T) {
	r, _ := RecipeOf("r")
	text := recipeGrant("R_PROFILE_USER=/home/ada/profile.R").Fill(r.Script, "", Registry{})
	for _, want := range []string{`c("/home/ada/profile.R", ".Rprofile", file.path("~", ".Rprofile"))`, `"-fsSL --netrc-file '/run/file'"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

// TestOwnFiles: what a person has in the file that the command's takes the place of is kept, or its loss is an error.
func TestOwnFiles(t *testing.T) {
	const password = "machine x.dev login a password b\ndefault login c password d\n"
	rows := []struct {
		reason, tool, own, want string // want is what the text has; "error" and what the error says
	}{
		{"other entries stay, and default is the last", "poetry", password, "password ey.a-b_c\nmachine x.dev login a password b\ndefault login c password d\n"},
		{"an entry for a host of ours", "hex", "machine\n\tGIT.acme.dev login a password b\n", "error your netrc has an entry for git.acme.dev"},
		{"a user of the name of a host is no entry", "nix", "machine x.dev login git.acme.dev password b\n", "machine x.dev"},
		{"a person's servers stay", "maven", "<settings>\n<servers><server><id>mine</id></server></servers></settings>", "</server><server><id>mine</id></server></servers></settings>"},
		{"an empty element", "maven", "<settings><servers/><proxies/></settings>", "</server></servers><proxies/></settings>"},
		{"a comment with an element's name", "maven", "<settings><!-- <servers> --><offline>true</offline></settings>", "</servers><!-- <servers> --><offline>true</offline></settings>"},
		{"the namespace stays", "maven", `<?xml version="1.0"?><settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"></settings>`, `SETTINGS/1.2.0"><mirrors>`},
		{"settings that are no XML", "maven", "<settings>", "error your settings.xml: it cannot be read as XML"},
		{"a person's server of that name", "maven", "<settings><servers><server><username>a</username><id>corp-x</id></server></servers></settings>", `error your settings.xml has a server "corp-x"`},
		{"a person's registries stay", "helm", `{"auths":{"x.dev":{"auth":"eA=="}},"credsStore":"x"}`, `"x.dev":{"auth":"eA=="}},"credsStore":"x"}`},
		{"no JSON", "composer", "{", "error what you have given it already is no JSON"},
	}
	for _, row := range rows {
		r, _ := RecipeOf(row.tool)
		text, err := r.File([]byte(row.own), recipeGrant())
		if want, fails := strings.CutPrefix(row.want, "error "); fails {
			if err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%s: %s: %v", row.tool, row.reason, err)
			}
		} else if err != nil || !strings.Contains(string(text), want) || !strings.Contains(string(text), "ey.a-b_c") && !json.Valid(text) {
			t.Errorf("%s: %s: %s (%v)", row.tool, row.reason, text, err)
		}
	}
}

// TestKeepNames: a token goes by a name only if every address of that name is ours.
func TestKeepNames(t *testing.T) {
	ours := func(scheme, host string) bool { return scheme == "https" && host == "git.acme.dev" }
	at := func(name, address string) Registry { return Registry{Name: name, Address: address} }
	rows := []struct {
		reason string
		all    []Registry
		want   string // the address of the one that is kept, or what the error says
	}{
		{"ours", []Registry{at("a", "https://git.acme.dev/x")}, "https://git.acme.dev/x"},
		{"a sparse index", []Registry{at("a", "sparse+https://git.acme.dev/x/")}, "sparse+https://git.acme.dev/x/"},
		{"another beside it", []Registry{at("a", "https://git.acme.dev/x"), at("b", "https://evil.dev")}, "https://git.acme.dev/x"},
		{"what is fixed takes precedence", []Registry{at("a", "https://git.acme.dev/x"), {"a", "https://git.acme.dev/y", true}}, "https://git.acme.dev/y"},
		{"the same name elsewhere", []Registry{at("a", "https://git.acme.dev/x"), at("a", "https://evil.dev")}, `"a" is the name of`},
		{"the same name elsewhere, first", []Registry{at("a", "https://evil.dev"), at("a", "https://git.acme.dev/x")}, `"a" is the name of`},
		{"names that make the same variable", []Registry{at("a-b", "https://git.acme.dev/x"), at("A_b", "https://evil.dev")}, `"a-b" is the name of`},
		{"by http", []Registry{at("a", "http://git.acme.dev/x")}, "takes a token by"},
		{"a user in the address", []Registry{at("a", "https://u@git.acme.dev/x")}, "takes a token by"},
		{"our host as a user", []Registry{at("a", "https://git.acme.dev@evil.dev/")}, "takes a token by"},
		{"another port", []Registry{at("a", "https://git.acme.dev:8443/")}, "takes a token by"},
		{"a variable in the address", []Registry{at("a", "https://git.acme.dev/${x}")}, "takes a token by"},
		{"a variable in the name", []Registry{at("${a}", "https://git.acme.dev/")}, "takes a token by"},
		{"NuGet's variable", []Registry{at("a", "https://git.acme.dev/%x%")}, "takes a token by"},
		{"none", nil, "takes a token by"},
	}
	for _, row := range rows {
		g := Grant{Registries: row.all}
		err := g.KeepNames(ours, "cargo")
		if err != nil && !strings.Contains(err.Error(), row.want) || err == nil && (len(g.Registries) != 1 || g.Registries[0].Address != row.want) {
			t.Errorf("%s: %v (%v), not %s", row.reason, g.Registries, err, row.want)
		}
	}
}

func TestNamesInXML(t *testing.T) {
	names := func(tool, text string) string {
		r, _ := RecipeOf(tool)
		all, err := r.Names([]byte(text))
		if err != nil {
			return "error"
		}
		var out []string
		for _, of := range all {
			fixed := ""
			if of.Fixed {
				fixed = "!"
			}
			out = append(out, of.Name+fixed+" "+of.Address)
		}
		return strings.Join(out, ", ")
	}
	for _, row := range []struct{ reason, tool, text, want string }{
		{"a repository", "maven", "<project><repositories><repository><id> a </id><url>https://x.dev/</url></repository></repositories></project>", "a! https://x.dev/"},
		{"an order and a comment", "maven", "<project><pluginRepositories><pluginRepository><url>https://x<!-- -->.dev/</url><id>a</id></pluginRepository></pluginRepositories></project>", "a! https://x.dev/"},
		{"where it is published", "maven", "<project><distributionManagement><repository><id>a</id><url>https://x.dev/</url></repository></distributionManagement></project>", "a https://x.dev/"},
		{"a mirror", "maven", "<settings><mirrors><mirror><id>a</id><mirrorOf>*</mirrorOf><url>https://x.dev/</url></mirror></mirrors></settings>", "a https://x.dev/"},
		{"a prefix", "maven", `<m:project xmlns:m="x"><m:repository><m:id>a</m:id><m:url>https://x.dev/</m:url></m:repository></m:project>`, "a! https://x.dev/"},
		{"a section of characters", "maven", "<p><repository><id>a</id><url><![CDATA[https://x.dev/]]></url></repository></p>", "a! https://x.dev/"},
		{"an entity that Maven knows and we do not", "maven", "<!DOCTYPE p [<!ENTITY e 'https://evil.dev'>]><p><repository><id>a</id><url>&e;</url></repository></p>", "error"},
		{"an old encoding", "maven", "<?xml version='1.0' encoding='ISO-8859-1'?><p><name>caf\xe9</name><repository><id>a</id><url>https://x.dev/</url></repository></p>", "a! https://x.dev/"},
		{"an encoding that hides ASCII", "maven", "<?xml version='1.0' encoding='IBM037'?><p/>", "error"},
		{"UTF-16", "maven", "\xff\xfe<\x00p\x00/\x00>\x00", "error"},
		{"words", "maven", "-DskipTests\n-T 4\n", ""},
		{"a source", "nuget", `<configuration><packageSources><clear /><add key="a" value="https://x.dev/v3/index.json" /></packageSources></configuration>`, "a https://x.dev/v3/index.json"},
		{"another section", "nuget", `<configuration><config><add key="http_proxy" value="https://x.dev" /></config></configuration>`, ""},
	} {
		if got := names(row.tool, row.text); got != row.want {
			t.Errorf("%s: %s, not %s", row.reason, got, row.want)
		}
	}
}

// TestLeadsElsewhere: a project's settings may not say how its requests go, or that certificates are not checked.
func TestLeadsElsewhere(t *testing.T) {
	for _, row := range []struct{ reason, line, want string }{
		{"cargo", `proxy = "evil:80"`, "proxy"},
		{"cargo, dotted", `http.cainfo = "evil.pem"`, "cainfo"},
		{"cargo, in a table", `http = { proxy = "evil" }`, "proxy"},
		{"poetry", "cert = false", "cert"},
		{"poetry, dotted", "certificates.acme.cert = false", "cert"},
		{"pdm", "verify_ssl = false", "verify_ssl"},
		{"uv", `allow-insecure-host = ["git.acme.dev"]`, "allow-insecure-host"},
		{"bundler", `BUNDLE_SSL_VERIFY_MODE: "0"`, "BUNDLE_SSL_VERIFY_MODE"},
		{"bundler's authority", `BUNDLE_SSL_CA_CERT: "evil.pem"`, "BUNDLE_SSL_CA_CERT"},
		{"composer", `"config": {"secure-http": false}`, "secure-http"},
		{"composer's TLS", `"disable-tls" : true`, "disable-tls"},
		{"gradle, with a blank for =", "systemProp.https.proxyHost evil", "proxyHost"},
		{"Java's authorities", "-Djavax.net.ssl.trustStore=evil.jks", "trustStore"},
		{"Maven", "-Dmaven.wagon.http.ssl.insecure=true", "wagon.http.ssl.insecure"},
		{"Maven's resolver", "-Daether.connector.https.securityMode=insecure", "securityMode"},
		{"nuget", `<add key="http_proxy" value="http://evil" />`, "http_proxy"},
		{"a dependency is no setting", `aioproxy = "^1.0"`, ""},
		{"nor is a word", `description = "A proxy for certificates"`, ""},
		{"a comment", "# proxy = x", ""},
		{"a check that is on", "verify_ssl = true", ""},
		{"one for all of its registries", `"secure-http": true`, ""},
		{"no check, on", `"disable-tls": true`, "disable-tls"},
	} {
		if got := LeadsElsewhere(row.line); got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}

// TestCheckHost: what would give the token to more than the host is refused.
func TestCheckHost(t *testing.T) {
	for _, row := range []struct {
		tool, host string
		refused    bool
	}{
		{"poetry", "git.acme.dev", false},
		{"poetry", "git.acme.dev:8443", true},
		{"bundler", "127.0.0.1:8443", true},
		{"deno", "git.acme.dev", true},
		{"deno", "127.0.0.1:8443", false},
		{"deno", "[::1]:8443", false},
		{"composer", "git.acme.dev:8443", false},
	} {
		r, _ := RecipeOf(row.tool)
		if err := r.CheckHost(row.host); (err != nil) != row.refused {
			t.Errorf("%s %s: %v", row.tool, row.host, err)
		}
	}
}

func TestBoundTo(t *testing.T) {
	r, _ := RecipeOf("twine")
	ours := func(scheme, host string) bool { return scheme == "https" && host == "git.acme.dev" }
	for _, row := range []struct {
		address, words string
		want           bool
	}{
		{"https://git.acme.dev/pypi/", "upload dist/x.whl", true},
		{"https://git.acme.dev/pypi/", "upload --repository-url https://git.acme.dev/two/ x", true},
		{"https://git.acme.dev/pypi/", "upload --repository-url https://evil.dev/ x", false},
		{"https://git.acme.dev/pypi/", "upload --repository-url=http://git.acme.dev/ x", false},
		{"https://git.acme.dev@evil.dev/", "upload x", false},
		{"http://git.acme.dev/", "upload x", false},
		{"", "upload x", false},
	} {
		g := Grant{Environ: []string{"TWINE_REPOSITORY_URL=https://git.acme.dev/first", "TWINE_REPOSITORY_URL=" + row.address}}
		if got := r.BoundTo(ours, &g, strings.Fields(row.words)); got != row.want {
			t.Errorf("%q, %q: %v", row.address, row.words, got)
		}
	}
}
