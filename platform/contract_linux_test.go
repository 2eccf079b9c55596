package platform_test

import (
	"os"
	"syscall"
	"testing"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
)

func TestSecretServiceContract(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", platform.StartKeyring(t))
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "auto", "") })
	platformtest.TestLargest(t, openKeychain(t, "keychain", ""))
}

func TestKeePassXCContract(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", platform.StartKeePassXC(t))
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
	platformtest.TestLargest(t, openKeychain(t, "keychain", ""))
	k := openKeychain(t, "keychain", "")
	for _, label := range []string{"", "Clerk sign-in: acme", "Clerk sign-in: acme (signed out)"} {
		if err := k.SetLabelled(t.Context(), "labelled", label, "with "+label); err != nil {
			t.Fatal(err)
		}
		if got, err := k.Get(t.Context(), "labelled"); err != nil || got != "with "+label {
			t.Errorf("labelled %q: %q, %v", label, got, err)
		}
	}
}

// TestAskingContract: services that ask by themselves keep the contract where the person may be asked, and says yes. The real one
// is KeePassXC with its confirmation of each access.
func TestAskingContract(t *testing.T) {
	for name, start := range map[string]func(testing.TB) string{
		"confirms each access": func(t testing.TB) string { return platform.StartAsking(t, true) },
		"asks for a key":       func(t testing.TB) string { return platform.StartAsking(t, false) },
		"KeePassXC":            platform.StartConfirmingKeePassXC,
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("DBUS_SESSION_BUS_ADDRESS", start(t))
			platformtest.TestKeychain(t, func() platformtest.Keychain {
				k := openKeychain(t, "keychain", "")
				if err := k.Unlock(t.Context(), nil, contractItems...); err != nil {
					t.Fatal(err)
				}
				return k
			})
		})
	}
}

// contractItems are the items of the contract.
var contractItems = []string{"contract-missing", "contract-gone", "contract-handle", "contract-handl", "contract-replace",
	"contract-replace-other", "contract-refusal", "contract-cancelled", "contract-race", "contract-trip-a", "contract-trip-b",
	"contract-trip-c", "contract-trip-d", "contract-trip-e"}

// TestKernelKeyringContract chooses the kernel's keyring once by name and once by having no bus.
func TestKernelKeyringContract(t *testing.T) {
	platform.NeedKernelKeyring(t)
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
	for _, choice := range []string{"kernel", "auto"} {
		t.Run(choice, func(t *testing.T) {
			platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, choice, "") })
		})
	}
	if os.Geteuid() == 0 {
		t.Run("a normal user", func(t *testing.T) {
			platform.Rerun(t, "TestKernelKeyringContract", &syscall.SysProcAttr{Credential: platform.NormalUser})
		})
	}
}
