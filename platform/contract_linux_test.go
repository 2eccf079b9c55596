package platform_test

import (
	"testing"

	"clerk-credential-helper/platform"
	"clerk-credential-helper/platform/platformtest"
)

func TestSecretServiceContract(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", platform.StartKeyring(t))
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
}
