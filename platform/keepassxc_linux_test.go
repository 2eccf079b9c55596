package platform

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// StartKeePassXC runs KeePassXC with an empty, open database as the Secret Service of a bus of its own, on an
// invisible display, and returns the bus's address.
func StartKeePassXC(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts KeePassXC")
	}
	b := startBus(t)
	b.startKeePassXC(t, startDisplay(t).display)
	return b.address
}

// startKeePassXC runs KeePassXC with an empty, open database.
func (b *bus) startKeePassXC(t testing.TB, display string) {
	t.Helper()
	need(t, "keepassxc", "keepassxc-cli")
	dir := t.TempDir()
	database, config := filepath.Join(dir, "database.kdbx"), filepath.Join(dir, "keepassxc.ini")
	make := exec.Command("keepassxc-cli", "import", "-p", "testdata/keepassxc.xml", database)
	make.Stdin, make.Env = strings.NewReader("password\npassword\n"), b.env
	if out, err := make.CombinedOutput(); err != nil {
		t.Fatalf("keepassxc-cli import: %v: %s", err, out)
	}
	settings, err := os.ReadFile("testdata/keepassxc.ini") // it writes to its settings
	if err != nil {
		t.Fatal(err)
	}
	write(t, config, string(settings), 0o600)

	cmd := exec.Command("keepassxc", "--config", config, "--localconfig", filepath.Join(dir, "local.ini"))
	cmd.Env = append(b.env, "DISPLAY="+display)
	start(t, cmd)
	b.openKeePassXC(t, database)

	// It says by nothing else that its database is open.
	ready := func() error {
		c, err := secretService{addresses: b.address}.connect(t.Context(), nil)
		if err != nil {
			return err
		}
		defer c.close()
		return c.usable(t.Context())
	}
	deadline := time.Now().Add(30 * time.Second)
	for err = ready(); err != nil && time.Now().Before(deadline); err = ready() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("KeePassXC did not come up: %v", err)
	}
}

// openKeePassXC has KeePassXC open a database. KeePassXC 2.7.10 of Debian 13 crashes where it is given one with --pw-stdin.
func (b *bus) openKeePassXC(t testing.TB, database string) {
	t.Helper()
	const name = "org.keepassxc.KeePassXC.MainWindow"
	open := func() error {
		return b.conn.Object(name, "/keepassxc").Call(name+".openDatabase", dbus.FlagNoAutoStart, database, "password").Err
	}
	deadline := time.Now().Add(30 * time.Second)
	err := open()
	for ; err != nil && time.Now().Before(deadline); err = open() {
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		t.Fatalf("KeePassXC did not come up: %v", err)
	}
}
