package platform_test

import (
	"testing"

	"clerk-credential-helper/internal/testworld"
	"clerk-credential-helper/platform/platformtest"
)

func TestKWalletContract(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", testworld.StartKeyring(t, "KWallet").Address)
	platformtest.TestKeychain(t, func() platformtest.Keychain { return openKeychain(t, "keychain", "") })
	platformtest.TestLargest(t, openKeychain(t, "keychain", ""))
}
