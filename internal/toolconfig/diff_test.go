package toolconfig

import (
	"strings"
	"testing"
)

// TestDiffHidesOthers: what setup shows is what it adds and takes, and no password of the line that it is in.
func TestDiffHidesOthers(t *testing.T) {
	const line = `{"HttpHeaders":{"X-Api-Key":"SECRET1","X-Other":"SECRET2"},"auths":{"ghcr.io":{"auth":"SECRET3"}},"proxies":{"default":{"httpProxy":"http://bob:SECRET4@proxy.acme.dev:3128"}}}`
	many := `{"auths":{` + strings.Repeat(`"r.example":{"auth":"SECRET"},`, 500) + `"x":{}},"credsStore":"SECRETdesktop"}`
	for _, row := range []struct {
		reason, tool, text string
		hosts              []Host
		want               []string // of the lines after the header, blanks aside
	}{
		{"docker's file on one line", "docker", line, []Host{{Name: "r.acme.dev"}}, []string{`+...,"credHelpers":{"r.acme.dev":"clerk"}...`}},
		{"the same with helpers", "docker", `{"auths":{"a":{"auth":"SECRET"}},"credHelpers":{"gcr.io":"gcloud"},"x":"SECRET"}`, []Host{{Name: "r.acme.dev"}},
			[]string{`+...,"r.acme.dev":"clerk"...`}},
		{"a line that gets a comma", "docker", "{\n\t\"x-key\": \"SECRET\"\n}\n", []Host{{Name: "r.acme.dev"}},
			[]string{`+...,`, `+    "credHelpers": {`, `+        "r.acme.dev": "clerk"`, `+    }`}},
		{"many passwords", "docker", many, []Host{{Name: "r.acme.dev"}}, []string{`+...,"credHelpers":{"r.acme.dev":"clerk"}...`}},
		{"another command for go", "go", "GOAUTH=/opt/auth --token SECRET;netrc\nGOPROXY=https://bob:SECRET@proxy.acme.dev\n", nil, []string{"+...clerk-credential-helper goauth;..."}},
		{"another provider for cargo", "cargo", "[registry]\nglobal-credential-providers = [\"cargo:token-from-stdout x SECRET\"]\ntoken = \"SECRET\"\n", nil, []string{`+..., "cargo-credential-clerk"...`}},
		{"no users in a kubeconfig", "kubectl", "users: []\nclusters: [] # SECRET\n", nil, nil},
		{"pip's index", "pip", "[global]\nindex-url = https://bob:SECRET@pypi.acme.dev/simple\n", nil, []string{"+keyring-provider = subprocess"}},
		{"a text without a line end", "pip", "[global]\nindex-url = https://bob:SECRET@pypi.acme.dev/simple", nil, []string{"+keyring-provider = subprocess"}},
		{"terraform's token", "terraform", "credentials \"x\" { token = \"SECRET\" }", nil, []string{`+credentials_helper "clerk" {}`}},
		{"git's header", "git", "[http]\n\textraHeader = Authorization: SECRET", []Host{{Name: "git.acme.dev"}}, []string{`+[credential "https://git.acme.dev"]`, "+    helper =", "+    helper = clerk"}},
		{"bazel's header", "bazel", "build --remote_header=x-key=SECRET", []Host{{Name: "c.acme.dev"}}, []string{"+common --credential_helper=c.acme.dev=bazel-credential-clerk"}},
	} {
		tool, _ := Named(row.tool)
		added, err := tool.add([]byte(row.text), row.hosts)
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		e := tool.edit("file")
		removed, err := e.Without(added)
		if err != nil {
			t.Errorf("%s: %v", row.reason, err)
			continue
		}
		for sign, d := range map[string]draft{"+": {Edit: e, old: []byte(row.text), new: added}, "-": {Edit: e, old: added, new: removed}} {
			shown := d.diff()
			if strings.Contains(shown, "SECRET") {
				t.Errorf("%s: a secret is shown:\n%s", row.reason, shown)
			}
			var got []string
			for _, line := range strings.Split(strings.TrimSpace(shown), "\n")[2:] {
				if strings.HasPrefix(line, "+") || strings.HasPrefix(line, "-") {
					got = append(got, line)
				}
			}
			want := strings.ReplaceAll("\n"+strings.Join(row.want, "\n"), "\n+", "\n"+sign)
			if row.want != nil && "\n"+strings.Join(got, "\n") != want {
				t.Errorf("%s: it shows\n%s\nnot%s", row.reason, shown, want)
			}
		}
	}
	// For every registry, and back again: two places of one line.
	const all = `{"credHelpers":{"a.acme.dev":"clerk"},"auths":{"ghcr.io":{"auth":"SECRET"}},"credsStore":"clerk"}`
	back, err := dockerWithout([]byte(all))
	if err != nil {
		t.Fatal(err)
	}
	shown := draft{Edit: Edit{File: "file"}, old: []byte(all), new: back}.diff()
	if strings.Contains(shown, "SECRET") || !strings.Contains(shown, `"credHelpers"`) || !strings.Contains(shown, `"credsStore"`) {
		t.Errorf("two places:\n%s", shown)
	}
	// What is too long to be compared is not shown.
	long := draft{Edit: Edit{File: "file"}, old: []byte(strings.Repeat("SECRET1 ", 3000)), new: []byte(strings.Repeat("SECRET2 ", 3000))}.diff()
	if strings.Contains(long, "SECRET") || !strings.Contains(long, "too long to show") {
		t.Errorf("%.200s", long)
	}
}
