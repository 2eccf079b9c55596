package windows

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"clerk-credential-helper/internal/testworld"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"
)

// TestPolicyOfRegistry: what stands in the registry of the machine holds for every command and tool, and is named. The machine's
// own configuration is not touched: this runs only in Wine, whose registry is the prefix's.
func TestPolicyOfRegistry(t *testing.T) {
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() != nil {
		t.Skip("it writes to the registry of the machine")
	}
	const path = `SOFTWARE\Policies\Clerk Credential Helper`
	const at = `HKLM\` + path
	set := func(root registry.Key, name string, values ...string) {
		t.Helper()
		key, _, err := registry.CreateKey(root, path, registry.ALL_ACCESS)
		if err == nil {
			err = key.SetStringsValue(name, values)
		}
		if err != nil {
			t.Fatal(err)
		}
		key.Close()
	}
	unset := func(root registry.Key) { registry.DeleteKey(root, path) }
	t.Cleanup(func() { unset(registry.LOCAL_MACHINE); unset(registry.CURRENT_USER) })

	home, env := newHome(t)
	expect := func(why string, ok bool, words string, args ...string) {
		t.Helper()
		out, err := run(t, env, args[0], args[1:]...)
		if (err == nil) != ok || !strings.Contains(strings.Join(strings.Fields(out), " "), words) { // lines are folded
			t.Errorf("%s: %v: %v\n%s", why, args, err, out)
		}
	}
	helper := func(args ...string) []string { return append([]string{"clerk-credential-helper"}, args...) }
	expect("no policy", true, "signed in to acme", helper("login")...)
	set(registry.CURRENT_USER, "stores", "none")
	expect("a policy of the user is none", true, "ey", helper("token")...)

	set(registry.LOCAL_MACHINE, "stores", "file", "none")
	expect("the store is allowed", true, "ey", helper("token")...)
	expect("doctor names it", true, "policy: "+at+": stores: file, none", helper("doctor", "--verbose")...)
	set(registry.LOCAL_MACHINE, "sources", "machine")
	const refused = "a token from the session: the policy of this machine does not allow it (" + at + ")"
	expect("the source is refused", false, refused, helper("token")...)
	expect("explain says why", true, refused, helper("explain", "https://git.acme.dev")...)
	expect("a tool", false, refused, "keyring", "get", "https://git.acme.dev/simple/", "clerk")

	unset(registry.LOCAL_MACHINE)
	set(registry.LOCAL_MACHINE, "hosts", "*.acme.dev")
	expect("a host of the machine's", false, `the host "git.acme.dev" in profile "acme": the policy of this machine does not allow it (`+at+")", helper("token")...)

	unset(registry.LOCAL_MACHINE)
	set(registry.LOCAL_MACHINE, "store", "keychain")
	expect("a mistake is not passed over", false, at+`: unknown value "store": did you mean "stores"?`, helper("token")...)
	expect("doctor names it", false, `unknown value "store"`, helper("doctor")...)

	unset(registry.LOCAL_MACHINE)
	text, err := os.ReadFile(filepath.Join("..", "..", "docs", "rollout.md"))
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^reg add .*`).FindAllString(string(text), -1)
	if len(lines) < 4 {
		t.Fatalf("%d lines are documented", len(lines))
	}
	command := filepath.Join(home, "line.cmd")
	for _, line := range lines {
		testworld.Write(t, command, "@"+strings.TrimSpace(line)+"\r\n")
		expect("a documented line", true, "", "cmd", "/c", command)
	}
	expect("all of the documented lines", false, `the host "git.acme.dev" in profile "acme"`, helper("token")...)
	other := filepath.Join(home, "other.toml")
	testworld.Write(t, other, "[profiles.other]\nissuer = \"http://127.0.0.1:9\"\nclient_id = \"x\"\nhosts = [\"git.other.dev\"]\n")
	env = append(env, "CLERK_HELPER_STORE=", "CLERK_HELPER_CONFIG="+other)
	// A build from a checkout is older than any release, or has no version.
	key, err := registry.OpenKey(registry.LOCAL_MACHINE, path, registry.ALL_ACCESS)
	if err == nil {
		err = key.SetStringValue("minimum_version", "0.0.0-0")
		key.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	expect("what they decide", false, at+": stores: keychain; only the machine's profiles name *.acme.dev, git.acme.com; no login --with-token; version 0.0.0-0 or later",
		helper("doctor", "--verbose")...)
	env = env[:len(env)-2]

	unset(registry.LOCAL_MACHINE)
	expect("without it all is as it was", true, "ey", helper("token")...)
}
