package broker_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"clerk-credential-helper/internal/broker"
	"clerk-credential-helper/internal/config"
	"clerk-credential-helper/platform/platformtest"
	"clerk-credential-helper/protocol"
)

// A live token comes from the keychain alone. Without one the person would be asked to sign in, if that were allowed here.
func ExampleBroker_Answer() {
	cfg, err := config.Parse("config.toml", []byte(`
[profiles.acme]
issuer = "https://clerk.acme.dev"
client_id = "client"
hosts = ["git.acme.dev", "registry.acme.dev"]
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, acme := context.Background(), cfg.Profile("acme")
	var keychain, records platformtest.Memory
	b := &broker.Broker{
		Config:   cfg,
		Keychain: &keychain,
		Records:  &records,
		Now:      func() time.Time { return time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC) },
		Person:   broker.NoPerson{Reason: errors.New("CI is set")},
	}
	wire := protocol.Git{}
	req, err := wire.ReadRequest(protocol.Get, strings.NewReader("protocol=https\nhost=git.acme.dev\n\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	wire.WriteReply(os.Stdout, os.Stdout, req, b.Answer(ctx, req))

	session := `{"v":1,"issuer":"https://clerk.acme.dev","client_id":"client",` +
		`"scopes":["openid","profile","email","offline_access"],"access_token":"example-token",` +
		`"received_at":"2026-11-23T12:00:00Z","expires_at":"2026-11-24T12:00:00Z"}`
	if err := keychain.Set(ctx, broker.KeychainItem(acme), session); err != nil {
		fmt.Println(err)
		return
	}
	wire.WriteReply(os.Stdout, os.Stdout, req, b.Answer(ctx, req))
	// Output:
	// clerk-credential-helper: profile "acme" needs a sign-in, which is not allowed here: CI is set
	// username=clerk
	// password=example-token
	// password_expiry_utc=1795521600
}
