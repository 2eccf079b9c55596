package doctor

import (
	"bytes"
	"strings"
	"testing"

	"clerk-credential-helper/internal/console"
)

// printed is what a screen shows where no terminal is.
func printed(show func(*console.Console)) string {
	var out bytes.Buffer
	show(&console.Console{Out: &out, Getenv: func(string) string { return "" }})
	return out.String()
}

// TestPrint: the verdict is the last line and names what failed, and no fault is folded away.
func TestPrint(t *testing.T) {
	fine := Finding{Check: "store", State: Fine, Detail: "file"}
	doubt := Finding{Check: "browser", State: Doubt, Detail: "none", Remedy: "open it elsewhere"}
	path := func(name string) Finding {
		return Finding{Check: "program", State: Failing, Detail: name + " is not in the PATH", Remedy: "install it", Offers: []string{"ln"}}
	}
	for _, row := range []struct {
		reason   string
		findings []Finding
		verbose  bool
		want     string
		failed   bool
	}{
		{"all is well", []Finding{fine, {Check: "locks", State: Fine, Detail: "x"}}, false,
			"  ok         store, locks\n\nall 2 checks passed; --verbose shows each\n", false},
		{"all is well, and shown", []Finding{fine}, true, "  ok         store: file\n\nall 1 checks passed\n", false},
		{"a warning", []Finding{doubt, fine}, false,
			"  ok         store\n  warning    browser: none\n             -> open it elsewhere\n\nno check of 2 failed; 1 warning: browser\n", false},
		{"failures stand behind warnings, and those of one cause together", []Finding{path("a"), path("b"), doubt}, false,
			"  warning    browser: none\n             -> open it elsewhere\n  FAILED     program: a is not in the PATH; b is not in the PATH\n             -> install it\n" +
				"\nsome of it can be fixed: clerk-credential-helper doctor --fix\n2 of 3 checks failed: program; 1 warning: browser\n", true},
		{"another remedy is another finding", []Finding{path("a"), {Check: "program", State: Failing, Detail: "c", Remedy: "other"}}, false,
			"  FAILED     program: a is not in the PATH\n             -> install it\n  FAILED     program: c\n             -> other\n" +
				"\nsome of it can be fixed: clerk-credential-helper doctor --fix\n2 of 2 checks failed: program\n", true},
	} {
		var failed bool
		got := printed(func(c *console.Console) { failed = Print(c, row.findings, row.verbose) })
		if got != row.want || failed != row.failed {
			t.Errorf("%s: failed is %v\n%s\nnot\n%s", row.reason, failed, got, row.want)
		}
		if row.findings[0].Check == "program" && len(row.findings[0].Offers) != 1 {
			t.Errorf("%s: printing has changed a finding: %+v", row.reason, row.findings[0])
		}
	}
}

// TestStatusVerdict: one line says whether tools get tokens, and what is missing where they do not.
func TestStatusVerdict(t *testing.T) {
	in := ProfileStatus{Profile: "acme", State: "signed in"}
	out := ProfileStatus{Profile: "old", State: "signed out"}
	expired := ProfileStatus{Profile: "stale", State: "expired"}
	machine := ProfileStatus{Profile: "ci", State: "machine"}
	keyless := ProfileStatus{Profile: "bot", State: "machine", Error: "no key is set"}
	for _, row := range []struct {
		reason string
		all    []ProfileStatus
		want   string
	}{
		{"signed in", []ProfileStatus{in}, "tools get tokens from acme"},
		{"and a machine", []ProfileStatus{in, machine}, "tools get tokens from acme, ci"},
		{"a token of the environment", []ProfileStatus{{Profile: "acme", State: "not signed in", Injected: "CLERK_HELPER_TOKEN"}}, "tools get tokens from acme"},
		{"signed out", []ProfileStatus{out}, "old needs a sign-in: clerk-credential-helper login old"},
		{"two of three", []ProfileStatus{in, out, expired}, "tools get tokens from acme; old, stale need a sign-in: clerk-credential-helper login NAME"},
		{"a token of the environment that is no good", []ProfileStatus{{Profile: "acme", State: "signed in", Injected: "CLERK_HELPER_TOKEN", Error: "a secret key"}}, "no token from acme, by the error above"},
		{"a machine without a key", []ProfileStatus{in, keyless}, "tools get tokens from acme; no token from bot, by the error above"},
	} {
		got := strings.Join(strings.Fields(printed(func(c *console.Console) { PrintVerdict(c, row.all) })), " ")
		if got != row.want {
			t.Errorf("%s: %q, not %q", row.reason, got, row.want)
		}
	}
}
