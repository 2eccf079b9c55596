package platform

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// StartKeePassXC runs KeePassXC with an empty, open database as the Secret Service of a bus of its own, on an
// invisible display, and returns the bus's address.
func StartKeePassXC(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("-short: starts KeePassXC")
	}
	need(t, "keepassxc", "keepassxc-cli", "Xvfb")
	b := startBus(t)
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

	screen := exec.Command("Xvfb", "-displayfd", "1", "-screen", "0", "800x600x24", "-nolisten", "tcp")
	out, err := screen.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, screen)
	number, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("Xvfb printed no display: %v", err)
	}
	cmd := exec.Command("keepassxc", "--config", config, "--localconfig", filepath.Join(dir, "local.ini"), "--pw-stdin", database)
	cmd.Stdin = strings.NewReader("password\n")
	cmd.Env = append(b.env, "DISPLAY=:"+strings.TrimSpace(number))
	start(t, cmd)

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
	return b.address
}
