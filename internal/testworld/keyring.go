package testworld

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/godbus/dbus/v5"
)

// Keyrings are the names for [StartKeyring].
var Keyrings = []string{"gnome-keyring", "KWallet", "KeePassXC"}

// comesUp is how long a keyring may take until it is open; the usual time is 1 s.
const comesUp = 30 * time.Second

const sessionBus = `<busconfig>
  <type>session</type>
  <listen>unix:tmpdir=/tmp</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow own="*"/>
    <allow send_destination="*"/>
    <allow receive_sender="*"/>
  </policy>
</busconfig>
`

// Keyring is a keyring on a bus of its own.
type Keyring struct {
	Address string // of the bus
}

// StartKeyring runs an unlocked keyring of that name as the Secret Service of a bus of its own, in a home of its own, until
// the end of the test. It is for Linux, and needs no display.
func StartKeyring(t testing.TB, name string) Keyring {
	t.Helper()
	needInPath(t, "dbus-daemon")
	run, err := os.MkdirTemp("", "bus") // 0700, and short enough for a socket, which t.TempDir is not
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(run) })
	config := filepath.Join(run, "bus.conf")
	Write(t, config, sessionBus)
	env := []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + run, "XDG_RUNTIME_DIR=" + run, "XDG_DATA_HOME=" + run + "/data", "QT_QPA_PLATFORM=offscreen",
	}
	bus := exec.Command("dbus-daemon", "--nofork", "--config-file="+config, "--address=unix:dir="+run, "--print-address=1")
	bus.Env = env
	out, err := bus.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	background(t, bus)
	line, err := bufio.NewReader(io.LimitReader(out, 4096)).ReadString('\n')
	if err != nil {
		t.Fatalf("dbus-daemon printed no address: %v", err)
	}
	address := strings.TrimSpace(line)
	env = append(env, "DBUS_SESSION_BUS_ADDRESS="+address)

	switch name {
	case "gnome-keyring":
		needInPath(t, "gnome-keyring-daemon")
		cmd := exec.Command("gnome-keyring-daemon", "--foreground", "--components=secrets", "--unlock")
		cmd.Env, cmd.Stdin = env, strings.NewReader("password")
		background(t, cmd)
	case "KWallet":
		startKWallet(t, run, env)
	case "KeePassXC":
		startKeePassXC(t, address, run, env)
	default:
		t.Fatalf("no keyring is called %q", name)
	}

	open(t, address, name)
	return Keyring{address}
}

// PID returns the process that provides the Secret Service.
func (k Keyring) PID(t testing.TB) (pid uint32) {
	t.Helper()
	conn, err := dbus.Connect(k.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	err = conn.BusObject().Call("org.freedesktop.DBus.GetConnectionUnixProcessID", 0, "org.freedesktop.secrets").Store(&pid)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// open waits until the service of a bus has an open keyring, which it says by nothing else. A wallet that KWallet's PAM module
// has opened is locked to the clients of this API until one of them unlocks it, for which no user is asked.
func open(t testing.TB, address, name string) {
	t.Helper()
	const api = "org.freedesktop.Secret."
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ask := func(path dbus.ObjectPath, method string, args ...any) *dbus.Call {
		return conn.Object("org.freedesktop.secrets", path).Call(method, dbus.FlagNoAutoStart, args...)
	}
	limit := time.Now().Add(comesUp)
	for unlocking := false; ; time.Sleep(20 * time.Millisecond) {
		var collection, prompt dbus.ObjectPath
		var unlocked []dbus.ObjectPath
		locked := true
		err := ask("/org/freedesktop/secrets", api+"Service.ReadAlias", "default").Store(&collection)
		if err == nil && collection != "/" {
			err = ask(collection, "org.freedesktop.DBus.Properties.Get", api+"Collection", "Locked").Store(&locked)
			if err == nil && !locked {
				return
			}
			if err == nil && name == "KWallet" && !unlocking {
				unlocking = true
				err = ask("/org/freedesktop/secrets", api+"Service.Unlock", []dbus.ObjectPath{collection}).Store(&unlocked, &prompt)
				if err == nil && prompt != "/" {
					err = ask(prompt, api+"Prompt.Prompt", "").Err
				}
			}
		}
		if time.Now().After(limit) {
			t.Fatalf("%s does not come up: keyring %q, locked: %v, %v", name, collection, locked, err)
		}
	}
}

// startKWallet starts the program of KWallet that provides the Secret Service, as its PAM module does at the login of a user:
// it gives it the hash of the password, with which the wallet is made, and the environment.
func startKWallet(t testing.TB, run string, env []string) {
	t.Helper()
	program := "ksecretd" // beside it, kwalletd6 provides something else
	if _, err := exec.LookPath(program); err != nil {
		program = "kwalletd6"
		needInPath(t, program)
	}
	Write(t, filepath.Join(run, ".config", "kwalletrc"), "[Wallet]\nFirst Use=false\nPrompt on Open=false\nClose When Idle=false\n")
	hash, toHash, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("unix", filepath.Join(run, "environment"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	environment, err := listener.(*net.UnixListener).File()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "--pam-login", "3", "4")
	cmd.Env, cmd.ExtraFiles = append(env, "PAM_KWALLET5_LOGIN=1"), []*os.File{hash, environment}
	background(t, cmd)
	hash.Close()
	environment.Close()
	const hashSize = 56 // PBKDF2_SHA512_KEYSIZE
	if _, err := toHash.Write(bytes.Repeat([]byte{7}, hashSize)); err != nil {
		t.Fatal(err)
	}
	toHash.Close()
	conn, err := net.Dial("unix", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, strings.Join(env, "\n")+"\n"); err != nil {
		t.Fatal(err)
	}
}

// A save after every change runs beside the next change, and now and then ends KeePassXC 2.7.4.
const keePassSettings = `[General]
ConfigVersion=2
SingleInstance=false
AutoSaveAfterEveryChange=false
AutoSaveOnExit=false
[GUI]
CheckForUpdates=false
[FdoSecrets]
Enabled=true
ConfirmAccessItem=false
ConfirmDeleteItem=false
`

// An empty database whose root group is the one that the Secret Service shows.
const keePassDatabase = `<?xml version="1.0" encoding="UTF-8"?>
<KeePassFile>
  <Meta><CustomData><Item>
    <Key>FDO_SECRETS_EXPOSED_GROUP</Key><Value>{00010203-0405-0607-0809-0a0b0c0d0e0f}</Value>
  </Item></CustomData></Meta>
  <Root><Group><UUID>AAECAwQFBgcICQoLDA0ODw==</UUID><Name>Root</Name></Group></Root>
</KeePassFile>
`

// startKeePassXC starts KeePassXC with an empty, open database. It confirms no access.
func startKeePassXC(t testing.TB, address, run string, env []string) {
	t.Helper()
	needInPath(t, "keepassxc", "keepassxc-cli")
	settings, text, database := filepath.Join(run, "keepassxc.ini"), filepath.Join(run, "database.xml"), filepath.Join(run, "database.kdbx")
	Write(t, settings, keePassSettings)
	Write(t, text, keePassDatabase)
	convert := exec.Command("keepassxc-cli", "import", "-p", text, database)
	convert.Stdin, convert.Env = strings.NewReader("password\npassword\n"), env
	if out, err := convert.CombinedOutput(); err != nil {
		t.Fatalf("keepassxc-cli import: %v: %s", err, out)
	}
	cmd := exec.Command("keepassxc", "--config", settings, "--localconfig", filepath.Join(run, "local.ini"))
	cmd.Env = env
	background(t, cmd)
	openKeePassXC(t, address, database)
}

// openKeePassXC waits until KeePassXC is on the bus of that address, and has it open a database with the password "password".
// KeePassXC 2.7.10 of Debian 13 crashes with --pw-stdin.
func openKeePassXC(t testing.TB, address, database string) {
	t.Helper()
	conn, err := dbus.Connect(address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const name = "org.keepassxc.KeePassXC.MainWindow"
	for limit := time.Now().Add(comesUp); ; time.Sleep(20 * time.Millisecond) {
		err := conn.Object(name, "/keepassxc").Call(name+".openDatabase", dbus.FlagNoAutoStart, database, "password").Err
		if err == nil {
			return
		}
		if time.Now().After(limit) {
			t.Fatalf("KeePassXC does not come up: %v", err)
		}
	}
}

// background runs a program until the end of the test.
func background(t testing.TB, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}

// needInPath is [Need] for programs that run nowhere but on a desktop.
func needInPath(t testing.TB, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			if Required(program) {
				t.Fatal(err)
			}
			t.Skip(err)
		}
	}
}
