package doctor

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

func TestCompareVersions(t *testing.T) {
	// In the order of precedence; the first is no version.
	order := []string{"devel", "0.0.0-20261124030139-58933b74362d+dirty", "0.0.9", "0.9.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta",
		"1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0", "1.0.9", "1.0.10", "1.10.0", "10.0.0"}
	for i, a := range order {
		for j, b := range order {
			want := min(max(i-j, -1), 1)
			if got := min(max(compareVersions(a, b), -1), 1); got != want {
				t.Errorf("%s with %s: %d, not %d", a, b, got, want)
			}
		}
	}
	if compareVersions("v1.2.3+build", "1.2.3") != 0 {
		t.Error("a v or the build's metadata makes a difference")
	}
}

// TestCheck: the latest release is what the list of its files says, and nothing else is believed.
func TestCheck(t *testing.T) {
	sum := strings.Repeat("5", 64)
	list := func(names ...string) string { return sum + "  " + strings.Join(names, "\n"+sum+"  ") + "\n" }
	for _, row := range []struct {
		reason, version, body string
		status                int
		latest                string
		update                bool
		wrong                 string
	}{
		{"a newer one", "1.2.3", list("x.sbom.json", "clerk-credential-helper_1.3.0_linux_amd64.tar.gz"), 200, "1.3.0", true, ""},
		{"the same", "1.3.0", list("clerk-credential-helper_1.3.0_linux_amd64.tar.gz"), 200, "1.3.0", false, ""},
		{"an older one", "1.4.0-rc.1", list("clerk-credential-helper_1.3.0_windows_arm64.zip"), 200, "1.3.0", false, ""},
		{"a build without a version", "devel", list("clerk-credential-helper_0.1.0_linux_amd64.tar.gz"), 200, "0.1.0", true, ""},
		{"not there", "1.2.3", "", 404, "", false, "status 404"},
		{"another list", "1.2.3", list("other_1.3.0_linux_amd64.tar.gz"), 200, "", false, "names no archive"},
		{"a page", "1.2.3", "<html>clerk-credential-helper_1.3.0_linux_amd64.tar.gz</html>", 200, "", false, "names no archive"},
		{"a version for a terminal", "1.2.3", list("clerk-credential-helper_1.3.0\x1b[2J_linux_amd64.tar.gz"), 200, "", false, "names no archive"},
		{"too long", "1.2.3", strings.Repeat(" ", maxChecksums) + list("clerk-credential-helper_1.3.0_linux_amd64.tar.gz"), 200, "", false, "names no archive"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/releases/latest/download/checksums.txt" || r.UserAgent() != "agent" {
				t.Errorf("%s: asked for %s by %q", row.reason, r.URL, r.UserAgent())
			}
			w.WriteHeader(row.status)
			w.Write([]byte(row.body))
		}))
		b := Build{Version: row.version}
		err := b.Check(t.Context(), server.URL+"/releases/", "agent")
		server.Close()
		if row.wrong != "" {
			if err == nil || !strings.Contains(err.Error(), row.wrong) || b.Update != nil {
				t.Errorf("%s: %v", row.reason, err)
			}
			continue
		}
		if err != nil || b.Latest != row.latest || b.Update == nil || *b.Update != row.update {
			t.Errorf("%s: %+v, %v", row.reason, b, err)
		}
	}

	asked := false
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer elsewhere.Close()
	away, err := url.Parse(elsewhere.URL)
	if err != nil {
		t.Fatal(err)
	}
	away.Host = "127.0.0.2:" + away.Port()
	redirects := httptest.NewServer(http.RedirectHandler(away.String(), http.StatusFound))
	defer redirects.Close()
	for _, place := range []string{"http://releases.acme.dev", "releases.acme.dev", "file:///srv", "https://ada:secret@releases.acme.dev", "https://releases.acme.dev?token=secret",
		"https://", redirects.URL} {
		b := Build{Version: "1.2.3"}
		if err := b.Check(t.Context(), place, "agent"); err == nil || asked || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v, asked: %v", place, err, asked)
		}
	}
	b := Build{Version: "1.2.3"}
	if err := b.Check(t.Context(), "", "agent"); !errors.Is(err, ErrNoReleases) || !strings.Contains(err.Error(), "CLERK_HELPER_RELEASES") {
		t.Errorf("without a place: %v", err)
	}
}

func TestBuild(t *testing.T) {
	yes, no := true, false
	for _, row := range []struct {
		build Build
		want  string
	}{
		{Build{Version: "1.2.3", Commit: "58933b74362d0123456789", Date: "2026-11-24T03:01:39Z", Platform: "linux/amd64", Go: "go1.26.8", Installed: "deb", Path: "/usr/bin/x"},
			"clerk-credential-helper 1.2.3 (58933b74362d, 2026-11-24) linux/amd64 go1.26.8\ninstalled by deb: /usr/bin/x"},
		{Build{Version: "devel", Platform: "linux/amd64", Go: "go1.26.8", Installed: "unknown"}, "clerk-credential-helper devel linux/amd64 go1.26.8\nbuilt or unpacked by hand"},
		{Build{Version: "1", Date: "x", Modified: true, Installed: "npm", Path: "/a\x1b[2J", Latest: "2.0.0", Update: &yes},
			"clerk-credential-helper 1 (x, with changes)  \ninstalled by npm: /a\\x1b[2J\n2.0.0 is newer; to upgrade: npm install --global clerk-credential-helper@latest"},
		{Build{Version: "1", Installed: "unknown", Latest: "1.0.0", Update: &no}, "clerk-credential-helper 1  \nbuilt or unpacked by hand\nthe latest release is 1.0.0"},
	} {
		if got := row.build.String(); got != row.want {
			t.Errorf("%q\nnot\n%q", got, row.want)
		}
	}
	if b := ReadBuild("v1.2.3", "abc", "2026-11-24T03:01:39Z", ""); b.Version != "1.2.3" || b.Commit != "abc" || b.Modified || b.Installed != "unknown" {
		t.Errorf("what the linker was given does not count: %+v", b)
	}
	if b := ReadBuild("", "", "", ""); b.Version == "" || b.Platform == "" || b.Go == "" {
		t.Errorf("without the linker: %+v", b)
	}
}
