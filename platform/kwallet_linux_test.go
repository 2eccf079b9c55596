package platform_test

import (
	"testing"

	"clerk-credential-helper/internal/testworld"
)

func TestKWalletContract(t *testing.T) {
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", testworld.StartKeyring(t, "KWallet").Address)
	testworld.TestKeychain(t, func() testworld.Keychain { return openKeychain(t, "keychain", "") })
	testworld.TestLargest(t, openKeychain(t, "keychain", ""))
}
