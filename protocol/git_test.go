package protocol

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

func TestGitReadRequest(t *testing.T) {
	tests := []struct {
		why, in string
		want    Request
	}{
		{"git writes no blank line at the end, only EOF", "protocol=https\nhost=git.acme.dev\n",
			Request{Scheme: "https", Host: "git.acme.dev"}},
		{"the last line may lack its newline", "protocol=https\nhost=git.acme.dev",
			Request{Scheme: "https", Host: "git.acme.dev"}},
		{"a blank line ends the request", "protocol=https\nhost=git.acme.dev\n\nhost=evil.example\n",
			Request{Scheme: "https", Host: "git.acme.dev"}},
		{"unknown keys are ignored", "protocol=https\nfuture=1\nstate[]=x\nhost=h\noauth_refresh_token=r\n",
			Request{Scheme: "https", Host: "h"}},
		{"every key that we know", "capability[]=authtype\ncapability[]=state\nprotocol=https\nhost=h:8443\npath=a/b.git\nusername=ada\npassword=p=q\nwwwauth[]=Basic realm=\"a\"\nwwwauth[]=Bearer\trealm=\"b\"\n",
			Request{Scheme: "https", Host: "h:8443", Path: "a/b.git", Username: "ada", Secret: "p=q", Authtype: true, State: true,
				Challenges: []string{`Basic realm="a"`, "Bearer\trealm=\"b\""}}},
		{"git 2.46 stores a credential", "protocol=https\nhost=h\nauthtype=Bearer\ncredential=jwt\nephemeral=1\n",
			Request{Scheme: "https", Host: "h", Secret: "jwt", Sent: AuthBearer}},
		{"git's other capability", "capability[]=state\nprotocol=https\nhost=h\n", Request{Scheme: "https", Host: "h", State: true}},
		{"an empty value empties capability[]", "capability[]=authtype\ncapability[]=\nprotocol=https\nhost=h\n",
			Request{Scheme: "https", Host: "h"}},
		{"an empty value empties wwwauth[]", "wwwauth[]=Basic\nwwwauth[]=\nwwwauth[]=Bearer\nprotocol=https\nhost=h\n",
			Request{Scheme: "https", Host: "h", Challenges: []string{"Bearer"}}},
		{"of one key the last value counts, as in git", "protocol=http\nprotocol=https\nhost=a\nhost=b\n",
			Request{Scheme: "https", Host: "b"}},
		{"url= forgets what came before", "capability[]=authtype\nwwwauth[]=Bearer\nusername=ada\npassword=p\npath=x\nurl=https://h\n",
			Request{Scheme: "https", Host: "h"}},
		{"url= forgets nothing that comes after", "url=https://h\ncapability[]=authtype\nusername=ada\n",
			Request{Scheme: "https", Host: "h", Username: "ada", Authtype: true}},
		{"url= with everything, encoded", "url=https://a%40b:p%3a@h:8443//a%20b/c.git/\n",
			Request{Scheme: "https", Host: "h:8443", Username: "a@b", Secret: "p:", Path: "a b/c.git"}},
		{"the host in url= ends at ?", "url=https://h?x=@evil.example/\n", Request{Scheme: "https", Host: "h", Path: "?x=@evil.example"}},
		{"the host in url= ends at #", "url=https://h#@evil.example/\n", Request{Scheme: "https", Host: "h", Path: "#@evil.example"}},
		{"the user in url= ends at the first @", "url=https://git.acme.dev@evil.example/\n",
			Request{Scheme: "https", Host: "evil.example", Username: "git.acme.dev"}},
		{"a second @ stays in the host", "url=https://a@b@git.acme.dev/\n",
			Request{Scheme: "https", Host: "b@git.acme.dev", Username: "a"}},
		{"an encoded slash stays in the host", "url=https://git.acme.dev%2f.evil.example/\n",
			Request{Scheme: "https", Host: "git.acme.dev/.evil.example"}},

		{"cmd's echo ends each line with CR LF", "protocol=https\r\nhost=git.acme.dev\r\n\r\n", Request{Scheme: "https", Host: "git.acme.dev"}},
		{"CR LF, and no blank line", "protocol=https\r\nhost=git.acme.dev\r\n", Request{Scheme: "https", Host: "git.acme.dev"}},
		{"CR LF, and no end of the last line", "protocol=https\r\nhost=git.acme.dev", Request{Scheme: "https", Host: "git.acme.dev"}},
		{"CR LF: a blank line ends the request", "protocol=https\r\nhost=git.acme.dev\r\n\r\nhost=evil.example\n", Request{Scheme: "https", Host: "git.acme.dev"}},
		{"CR LF after every key", "capability[]=authtype\r\nurl=https://a@h/p\r\npassword=p\r\nwwwauth[]=Basic\tx\r\n",
			Request{Scheme: "https", Host: "h", Username: "a", Path: "p", Secret: "p", Challenges: []string{"Basic\tx"}}},
		{"PowerShell adds CR LF to a text of lines with LF", "protocol=https\nhost=git.acme.dev\n\r\n", Request{Scheme: "https", Host: "git.acme.dev"}},
		{"CR LF after an empty value", "protocol=https\r\nhost=h\r\nusername=\r\n", Request{Scheme: "https", Host: "h"}},
		{"nothing but a blank line of CR LF", "\r\n", Request{}},
		{"a byte order mark elsewhere is part of the key, and unknown", "protocol=https\nhost=h\n\ufeffhost=x\n", Request{Scheme: "https", Host: "h"}},

		{"an empty password is one", "protocol=https\nhost=h\nusername=u\npassword=\n", Request{Scheme: "https", Host: "h", Username: "u", HasSecret: true}},
		{"an empty password in url=", "url=https://u:@h\n", Request{Scheme: "https", Host: "h", Username: "u", HasSecret: true}},
		{"no password in url=", "url=https://u@h\n", Request{Scheme: "https", Host: "h", Username: "u"}},
		{"no input", "", Request{}},
		{"nothing but a blank line", "\nprotocol=https\nhost=h\n", Request{}},
		{"no host: git that died of a CR sends this", "protocol=https\n", Request{Scheme: "https"}},
		{"an empty host", "protocol=https\nhost=\n", Request{Scheme: "https"}},
		{"no protocol must not mean https", "host=h\n", Request{}},
		{"an empty protocol must not mean https", "protocol=\nhost=h\n", Request{}},
		{"url= without a host", "url=https:///x\n", Request{Scheme: "https", Path: "x"}},
		{"url= forgets the host", "protocol=https\nhost=h\nurl=https://\n", Request{Scheme: "https"}},
	}
	for _, tt := range tests {
		for _, verb := range []Verb{Get, Store, Erase} {
			tt.want.Verb, tt.want.HasSecret = verb, tt.want.Secret != "" || tt.want.HasSecret
			got, err := Git{}.ReadRequest(verb, strings.NewReader(tt.in))
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s: %s: got %+v, %v; want %+v", tt.why, verb, got, err, tt.want)
			}
		}
	}
}

func TestGitReadRequestRefuses(t *testing.T) {
	const good = "protocol=https\nhost=git.acme.dev\n"
	tests := []struct{ why, in, want string }{
		{"a lone CR is no line's end (CVE-2024-50338)", "protocol=https\nhost=git.acme.dev\rx=y\n", `line 2 of the request: there is a control character in the value of "host"`},
		{"a trailing CR in one value (CVE-2024-52006)", "protocol=https\nhost=git.acme.dev\r\n", "line 2 of the request ends with CR LF, and the lines before it with LF"},
		{"the same in the first value", "protocol=https\r\nhost=git.acme.dev\n", "line 2 of the request ends with LF, and the lines before it with CR LF"},
		{"a trailing CR in the middle", "protocol=https\nhost=git.acme.dev\r\nusername=ada\n", "line 2 of the request ends with CR LF, and the lines before it with LF"},
		{"a line without CR in the middle", "protocol=https\r\nhost=git.acme.dev\nusername=ada\r\n", "line 2 of the request ends with LF, and the lines before it with CR LF"},
		{"a trailing CR in the last of many", good + "path=a\nusername=ada\r\n", "line 4 of the request ends with CR LF, and the lines before it with LF"},
		{"a trailing CR before a blank line", "protocol=https\nhost=git.acme.dev\r\n\n", "line 2 of the request ends with CR LF, and the lines before it with LF"},
		{"PowerShell's CR LF in a value", "protocol=https\nhost=git.acme.dev\r\n\r\n", "line 2 of the request ends with CR LF, and the lines before it with LF"},
		{"CR LF, and a blank line of LF", "protocol=https\r\nhost=git.acme.dev\r\n\n", "line 3 of the request ends with LF, and the lines before it with CR LF"},
		{"CR LF, and a CR that ends nothing", "protocol=https\r\nhost=git.acme.dev\r", `line 2 of the request: there is a control character in the value of "host"`},
		{"CR CR LF on all lines", "protocol=https\r\r\nhost=git.acme.dev\r\r\n", `line 1 of the request: there is a control character in the value of "protocol"`},
		{"CR CR LF on one line of CR LF", "protocol=https\r\nhost=git.acme.dev\r\r\n", `line 2 of the request: there is a control character in the value of "host"`},
		{"CR CR LF on one line of LF", "protocol=https\nhost=git.acme.dev\r\r\n", "line 2 of the request ends with CR LF, and the lines before it with LF"},
		{"two CRs are no blank line", "protocol=https\r\nhost=git.acme.dev\r\n\r\r\n", "line 3 of the request: want key=value"},
		{"nor are they after LF", good + "\r\r\n", "line 3 of the request ends with CR LF, and the lines before it with LF"},
		{"a CR inside a value, among CR LF (CVE-2024-50338)", "protocol=https\r\nhost=git.acme.dev\rx=y\r\n", `line 2 of the request: there is a control character in the value of "host"`},
		{"a CR before =", "protocol=https\nhost\r=git.acme.dev\n", "line 2 of the request: there is a control character in the key"},
		{"the same among CR LF", "protocol=https\r\nhost\r=git.acme.dev\r\n", "line 2 of the request: there is a control character in the key"},
		{"a CR at the end of a key without a value", "protocol=https\r\nhost\r\n", "line 2 of the request: want key=value"},
		{"a CR after =, before the value", "protocol=https\r\nhost=\rgit.acme.dev\r\n", `line 2 of the request: there is a control character in the value of "host"`},
		{"LF CR is no line's end", "protocol=https\n\rhost=git.acme.dev\n\r", "line 2 of the request: there is a control character in the key"},
		{"CR alone ends no line", "protocol=https\rhost=git.acme.dev\r", `line 1 of the request: there is a control character in the value of "protocol"`},
		{"an encoded CR LF in url= (CVE-2020-5260)", "url=https://git.acme.dev%0d%0a/\r\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"a CR at the end of the input", "protocol=https\nhost=git.acme.dev\r", `line 2 of the request: there is a control character in the value of "host"`},
		{"a line of only a CR, and the input goes on", good + "\r\nhost=evil.example\n", "line 3 of the request ends with CR LF, and the lines before it with LF"},
		{"the same, and a blank line", good + "\r\n\n", "line 3 of the request ends with CR LF, and the lines before it with LF"},
		{"a line of only a CR twice", good + "\r\n\r\n", "line 3 of the request ends with CR LF, and the lines before it with LF"},
		{"a line of only a CR without its LF is not blank", good + "\r", "line 3 of the request: want key=value"},
		{"NUL in a value", "protocol=https\nhost=git.acme.dev\x00.evil.example\n", `line 2 of the request: there is a control character in the value of "host"`},
		{"NUL in a key", "protocol=https\nho\x00st=h\n", "line 2 of the request: there is a control character in the key"},
		{"CR in a key", "protocol=https\n\rhost=h\n", "line 2 of the request: there is a control character in the key"},
		{"ESC in a value", good + "username=\x1b[2J\n", `line 3 of the request: there is a control character in the value of "username"`},
		{"a tab in a host", "host=h\tx\n", `line 1 of the request: there is a control character in the value of "host"`},
		{"DEL in a value", good + "path=a\x7f\n", `line 3 of the request: there is a control character in the value of "path"`},
		{"a control byte in a key that we ignore", good + "future=\x01\n", `line 3 of the request: there is a control character in the value of "future"`},
		{"a CR in a challenge, where tabs are allowed", good + "wwwauth[]=Basic\tx\r y\n", `line 3 of the request: there is a control character in the value of "wwwauth[]"`},
		{"a CR at the end of a challenge", good + "wwwauth[]=Basic\tx\r\n", "line 3 of the request ends with CR LF, and the lines before it with LF"},
		{"a bad line after good ones answers nothing", good + "nonsense\n", "line 3 of the request: want key=value"},
		{"a line with a space and no =", " \n", "line 1 of the request: want key=value"},
		{"an empty key", "=x\n", "line 1 of the request: want key=value"},
		{"JSON", `{"ServerURL":"h"}`, "line 1 of the request: want key=value"},
		{"an encoded LF in url= (CVE-2020-5260)", "url=https://git.acme.dev%0ahost=evil.example/\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"an encoded CR in url=", "url=https://git.acme.dev%0d/\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"an encoded NUL in the user of url=", "url=https://a%00b@git.acme.dev/\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"an encoded LF in the path of url=", "url=https://git.acme.dev/a%0Ab\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"an encoded LF in the password of url=", "url=https://a:%0a@git.acme.dev/\n", `line 1 of the request: there is an encoded control character in the value of "url"`},
		{"half an encoding in url=", "url=https://git.acme.dev%2/\n", `line 1 of the request: there is a bad percent-encoding in the value of "url"`},
		{"url= without a scheme", "url=git.acme.dev\n", `line 1 of the request: want scheme://host in the value of "url"`},
		{"url= with an empty scheme", "url=://git.acme.dev\n", `line 1 of the request: want scheme://host in the value of "url"`},
		{"an empty url=", good + "url=\n", `line 3 of the request: want scheme://host in the value of "url"`},
		{"a line of 65,536 bytes", good + "path=" + strings.Repeat("x", gitMaxLine-5) + "\n", "line 3 of the request is longer than 65535 bytes"},
		{"the same without its newline", good + "path=" + strings.Repeat("x", gitMaxLine-5), "line 3 of the request is longer than 65535 bytes"},
		{"too many lines", good + strings.Repeat("a=b\n", gitMaxLines), "the request is larger than 1000 lines or 1048576 bytes"},
		{"too many bytes", good + strings.Repeat("a="+strings.Repeat("b", 60000)+"\n", 20), "the request is larger than 1000 lines or 1048576 bytes"},
	}
	for _, tt := range tests {
		for _, verb := range []Verb{Get, Store, Erase} {
			got, err := Git{}.ReadRequest(verb, strings.NewReader(tt.in))
			if err == nil || err.Error() != tt.want {
				t.Errorf("%s: %s: got error %v; want %s", tt.why, verb, err, tt.want)
			}
			if want := (Request{Verb: verb}); !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s: an error must come with nothing to answer, got %+v", tt.why, verb, got)
			}
		}
	}
}

func TestGitReadRequestLongestLine(t *testing.T) {
	path := strings.Repeat("x", gitMaxLine-len("path=\n"))
	got, err := Git{}.ReadRequest(Get, strings.NewReader("protocol=https\npath="+path+"\nhost=h\n"))
	if err != nil || got.Path != path || got.Host != "h" {
		t.Errorf("a line of %d bytes with its newline: got a path of %d bytes, host %q, %v", gitMaxLine, len(got.Path), got.Host, err)
	}
}

func TestGitReadRequestNeverShowsValues(t *testing.T) {
	for _, in := range []string{
		"password=hunter2\r", "a=b\npassword=hunter2\r\n", "a=b\r\npassword=hunter2\n", "password=hunter2\r\r\n", "\ufeffpassword=hunter2\n", "credential=hunter2\x00\n", "hunter2\n", "url=https://a:hunter2%zz@h/\n",
		"url=https://a:hunter2%0a@h/\n", "url=hunter2\n", "password=hunter2" + strings.Repeat("x", gitMaxLine) + "\n",
	} {
		if _, err := (Git{}).ReadRequest(Store, strings.NewReader(in)); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%.40q: got error %v; want one without the value", in, err)
		}
	}
}

// unreadable fails the test if it is read.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the input was read")
	return 0, io.EOF
}

func TestGitReadRequestOtherVerbsReadNothing(t *testing.T) {
	for _, verb := range []Verb{Capability, List, Version, "", "get ", "GET", "future"} {
		got, err := Git{}.ReadRequest(verb, unreadable{t})
		if err != nil || !reflect.DeepEqual(got, Request{Verb: verb}) {
			t.Errorf("%q: got %+v, %v", verb, got, err)
		}
	}
}

func TestGitReadRequestStopsAtTheBlankLine(t *testing.T) {
	r, w := io.Pipe() // Stays open, as a terminal would.
	go fmt.Fprint(w, "protocol=https\nhost=h\n\n")
	got, err := Git{}.ReadRequest(Get, r)
	if err != nil || got.Host != "h" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// TestGitReadRequestWaits: after lines that end with LF a CR LF is the end only at the end of the input.
func TestGitReadRequestWaits(t *testing.T) {
	for _, row := range []struct{ reason, first, rest, host string }{
		{"nothing more comes", "protocol=https\nhost=h\n\r\n", "", "h"},
		{"more comes later", "protocol=https\nhost=h\n\r\n", "host=evil.example\n", ""},
		{"in CR LF a blank line is the end", "protocol=https\r\nhost=h\r\n\r\n", "", "h"},
	} {
		r, w := io.Pipe()
		go func() {
			fmt.Fprint(w, row.first)
			fmt.Fprint(w, row.rest)
			w.Close()
		}()
		if got, err := (Git{}).ReadRequest(Get, r); got.Host != row.host || (err == nil) != (row.host != "") {
			t.Errorf("%s: %+v, %v", row.reason, got, err)
		}
		r.Close()
	}
	broken := errors.New("broken")
	if got, err := (Git{}).ReadRequest(Get, io.MultiReader(strings.NewReader("protocol=https\nhost=h\n\r\n"), iotest.ErrReader(broken))); err == nil || got.Host != "" {
		t.Errorf("an end that cannot be read: %+v, %v", got, err)
	}
}

func TestGitReadRequestReadError(t *testing.T) {
	broken := errors.New("broken")
	in := io.MultiReader(strings.NewReader("protocol=https\nhost=h\n"), iotest.ErrReader(broken))
	if got, err := (Git{}).ReadRequest(Get, in); !errors.Is(err, broken) || got.Host != "" {
		t.Errorf("got %+v, %v; want the reader's error and no host", got, err)
	}
}

func TestGitWriteReply(t *testing.T) {
	expires := time.Unix(1800000000, 999)
	found := Reply{Result: Found, Credential: Credential{Username: "clerk", Token: "tok-1", Expires: expires}}
	bearer := found
	bearer.Credential.Auth = AuthBearer
	forever := found
	forever.Credential.Expires = time.Time{}
	boom := errors.New("no network")

	tests := []struct {
		why            string
		req            Request
		reply          Reply
		stdout, stderr string
		status         int
	}{
		{"get, Basic", Request{Verb: Get}, found, "username=clerk\npassword=tok-1\npassword_expiry_utc=1800000000\n", "", 0},
		{"get, unknown life", Request{Verb: Get}, forever, "username=clerk\npassword=tok-1\n", "", 0},
		{"get, Bearer", Request{Verb: Get, Authtype: true}, bearer,
			"capability[]=authtype\nauthtype=Bearer\ncredential=tok-1\nephemeral=1\npassword_expiry_utc=1800000000\n", "", 0},
		{"a found credential with a word for the person", Request{Verb: Get}, Reply{Result: Found, Credential: forever.Credential, Hint: "log in"},
			"username=clerk\npassword=tok-1\n", "hint: log in\n", 0},
		{"get, none", Request{Verb: Get}, Reply{}, "", "", 0},
		{"get, none with words", Request{Verb: Get}, Reply{Err: boom, Hint: "run login"}, "",
			"clerk-credential-helper: no network\nhint: run login\n", 0},
		{"get, refused", Request{Verb: Get}, Reply{Result: Refused, Err: boom, Hint: "run login"}, "quit=1\n",
			"clerk-credential-helper: no network\nhint: run login\n", 0},
		{"get, failed", Request{Verb: Get}, Reply{Result: Failed, Err: boom, Hint: "try again"}, "",
			"clerk-credential-helper: no network\nhint: try again\n", 1},
		{"get, done makes no sense and says nothing", Request{Verb: Get}, Reply{Result: Done}, "", "", 0},
		{"store, done", Request{Verb: Store}, Reply{Result: Done}, "", "", 0},
		{"store, done with words", Request{Verb: Store}, Reply{Result: Done, Hint: "dropped"}, "", "hint: dropped\n", 0},
		{"store must print no credential", Request{Verb: Store}, found, "", "", 0},
		{"erase must print no credential", Request{Verb: Erase, Authtype: true}, bearer, "", "", 0},
		{"erase, refused: quit is for get", Request{Verb: Erase}, Reply{Result: Refused, Err: boom}, "", "clerk-credential-helper: no network\n", 0},
		{"erase, failed", Request{Verb: Erase}, Reply{Result: Failed, Err: boom}, "", "clerk-credential-helper: no network\n", 1},
		{"capability", Request{Verb: Capability}, Reply{}, "version 0\ncapability authtype\n", "", 0},
		{"a verb of the future", Request{Verb: "future"}, Reply{Result: Failed, Err: boom, Hint: "x"}, "", "", 0},
		{"docker's list is unknown here", Request{Verb: List}, found, "", "", 0},
		{"docker's version is unknown here", Request{Verb: Version}, found, "", "", 0},
		{"an error cannot move the cursor or forge a line", Request{Verb: Get},
			Reply{Result: Failed, Err: errors.New("host \x1b[2Jx\npassword=1\r\u009b\u202e\xff")}, "",
			`clerk-credential-helper: host \x1b[2Jx\npassword=1\r\u009b\u202e\xff` + "\n", 1},
	}
	for _, tt := range tests {
		var stdout, stderr bytes.Buffer
		status, err := Git{}.WriteReply(&stdout, &stderr, tt.req, tt.reply)
		if err != nil || status != tt.status || stdout.String() != tt.stdout || stderr.String() != tt.stderr {
			t.Errorf("%s: got status %d, %v\nstdout %q\nstderr %q\nwant status %d\nstdout %q\nstderr %q",
				tt.why, status, err, &stdout, &stderr, tt.status, tt.stdout, tt.stderr)
		}
	}
}

func TestGitWriteReplyRefuses(t *testing.T) {
	for _, tt := range []struct{ why, username, token string }{
		{"LF in the token", "clerk", "a\nhost=evil.example"},
		{"CR in the token", "clerk", "a\rb"},
		{"CR at the end", "clerk", "a\r"},
		{"NUL in the token", "clerk", "a\x00b"},
		{"ESC in the token", "clerk", "a\x1bb"},
		{"DEL in the token", "clerk", "a\x7f"},
		{"tab in the token", "clerk", "a\tb"},
		{"LF in the user name", "cl\nerk", "a"},
		{"CR in the user name", "clerk\r", "a"},
		{"NUL in the user name", "\x00", "a"},
		{"a line that git would fold", "clerk", strings.Repeat("x", gitMaxLine-len("password="))},
		{"no token", "clerk", ""},
		{"no user name", "", "a"},
	} {
		for _, auth := range []Auth{AuthBasic, AuthBearer} {
			if auth == AuthBearer && (tt.username != "clerk" || len(tt.token) > 1000) {
				continue // Bearer sends no user name, and its key is of another length.
			}
			var stdout, stderr bytes.Buffer
			status, err := Git{}.WriteReply(&stdout, &stderr, Request{Verb: Get, Authtype: true},
				Reply{Result: Found, Credential: Credential{Username: tt.username, Token: tt.token, Auth: auth}})
			if status != 1 || err == nil || stdout.Len() > 0 {
				t.Errorf("%s: got status %d, %v, stdout %q; want 1, an error, nothing", tt.why, status, err, &stdout)
			}
			if err != nil && tt.token != "a" && len(tt.token) > 1 && strings.Contains(err.Error(), tt.token) {
				t.Errorf("%s: the error shows the token: %v", tt.why, err)
			}
		}
	}
}

func TestGitWriteReplyBrokenPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	status, err := Git{}.WriteReply(w, io.Discard, Request{Verb: Capability}, Reply{})
	if status != 1 || !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("got status %d, %v; want 1 and the writer's error", status, err)
	}
}

func TestGitCheckChallenges(t *testing.T) {
	for _, row := range []struct {
		reason     string
		authtype   bool
		challenges []string
		auth       Auth
		want       string
	}{
		{"git before 2.41 does not tell", false, nil, AuthAuto, ""},
		{"no challenge at all", true, nil, AuthBasic, ""},
		{"Basic", false, []string{"Basic"}, AuthAuto, ""},
		{"both", false, []string{"Bearer", "Basic"}, AuthAuto, ""},
		{"Basic that curl does not prefer: it can be built without NTLM", false, []string{"NTLM", "Basic"}, AuthAuto, ""},
		{"Bearer, and git can send it", true, []string{"Bearer"}, AuthAuto, ""},
		{"another scheme, and git can send Bearer", true, []string{"DPoP"}, AuthAuto, ""},
		{"Basic alone, and the profile wants Bearer", true, []string{"Basic"}, AuthBearer, ""},

		{"Bearer, and git cannot send it", false, []string{"Bearer"}, AuthAuto, `"git.acme.dev" accepts bearer, which this git cannot send`},
		{"the profile's Bearer does not help", false, []string{"Bearer"}, AuthBearer, "which this git cannot send"},
		{"Negotiate alone", false, []string{"NTLM", "Negotiate abc="}, AuthAuto, `accepts negotiate, ntlm, which this git cannot send`},
		{"Bearer, and the profile wants Basic", true, []string{"Bearer"}, AuthBasic, `accepts bearer, which the profile's git_auth does not allow`},
	} {
		req := Request{Verb: Get, Host: "git.acme.dev", Authtype: row.authtype, Challenges: row.challenges}
		err := req.CheckChallenges(row.auth)
		if (err == nil) != (row.want == "") || err != nil && !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v", row.reason, err)
		}
	}
}

// TestGitSent: git says in which header it has sent a token, if it was told the header.
func TestGitSent(t *testing.T) {
	for _, row := range []struct {
		reason string
		in     string
		want   Request
	}{
		{"a password", "username=u\npassword=t\n", Request{Username: "u", Secret: "t"}},
		{"Bearer", "authtype=bearer\ncredential=t\n", Request{Secret: "t", Sent: AuthBearer}},
		{"Basic", "authtype=Basic\ncredential=Y2xlcms6dDp0\n", Request{Username: "clerk", Secret: "t:t", Sent: AuthBasic}}, // clerk:t:t
		{"Basic before its name", "credential=Y2xlcms6dDp0\nauthtype=BASIC\n", Request{Username: "clerk", Secret: "t:t", Sent: AuthBasic}},
		{"Basic and the user that was asked for", "username=u\nauthtype=Basic\ncredential=Y2xlcms6dDp0\n", Request{Username: "u", Secret: "t:t", Sent: AuthBasic}},

		{"a Basic that is none", "authtype=Basic\ncredential=t\n", Request{Sent: AuthBasic}},
		{"a Basic without a colon", "authtype=Basic\ncredential=Y2xlcms=\n", Request{Sent: AuthBasic}},
		{"a Basic with a line feed", "authtype=Basic\ncredential=dQo6dA==\n", Request{Sent: AuthBasic}}, // u, LF, :t
		{"another scheme", "authtype=DPoP\ncredential=t\n", Request{Secret: "t"}},
	} {
		row.want.Verb, row.want.Scheme, row.want.Host, row.want.HasSecret = Erase, "https", "h", true
		got, err := Git{}.ReadRequest(Erase, strings.NewReader("protocol=https\nhost=h\n"+row.in))
		if err != nil || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: %+v, %v", row.reason, got, err)
		}
	}
}

// TestInvalidToken: only a server that has seen a token names this error.
func TestInvalidToken(t *testing.T) {
	for challenge, want := range map[string]bool{
		`Bearer realm="a", error="invalid_token", error_description="revoked"`: true,
		`bearer ERROR="invalid_token"`:                                         true,
		`Bearer realm="a"`:                                                     false,
		`Bearer error="insufficient_scope"`:                                    false,
		`Bearer realm="a", error="invalid_tok"`:                                false,
		`Basic realm="a"`:                                                      false,
	} {
		if req := (Request{Challenges: []string{"Basic", challenge}}); req.InvalidToken() != want {
			t.Errorf("%s: %t", challenge, !want)
		}
	}
}

// TestGitAuth is the whole table of git_auth: what git can, what the server asks for, what the configuration says.
func TestGitAuth(t *testing.T) {
	challenges := []struct {
		name       string
		values     []string
		autoBearer bool
	}{
		{"none", nil, false},
		{"Basic", []string{`Basic realm="a"`}, false},
		{"Bearer", []string{`Bearer realm="a"`}, true},
		{"Bearer without parameters", []string{"Bearer"}, true},
		{"lower case", []string{"bearer"}, true},
		{"Basic then Bearer", []string{"Basic", "Bearer"}, false},
		{"Bearer then Basic", []string{"Bearer", "Basic"}, false},
		{"Bearer then basic", []string{"Bearer", "bAsIc"}, false},
		{"both in one value", []string{`Bearer realm="a", scope="b", Basic realm="c"`}, false},
		{"Basic first in one value", []string{`Basic realm="a", Bearer realm="c"`}, false},
		{"Bearer behind another scheme", []string{`Negotiate abc==, Bearer`}, true},
		{"Basic inside quotes is no scheme", []string{`Bearer realm="x, Basic y"`}, true},
		{"Basic behind an escaped quote is no scheme", []string{`Bearer realm="x\", Basic \""`}, true},
		{"Bearer inside quotes is no scheme", []string{`Basic realm="x, Bearer y"`}, false},
		{"a parameter named Basic is no scheme", []string{`Bearer realm="a", Basic = "x"`}, true},
		{"a parameter named Bearer is no scheme", []string{`Basic realm="a", bearer="x"`}, false},
		{"a longer name is another scheme", []string{"Basic", "Negotiate", "BearerX", "Bearer-2 a=b"}, false},
		{"a longer name is not Basic", []string{"BasicX", "Basic-2 a=b"}, true},
		{"empty elements", []string{" , ,\tBearer\t,"}, true},
		{"an unclosed quote", []string{`Bearer realm="a, Basic`}, true},
		{"none in which Basic works", []string{"Negotiate", "NTLM abc=="}, true},
		{"NTLM, which curl would prefer", []string{"NTLM", "Basic"}, false},
		{"all of them", []string{"Negotiate", "NTLM", "Digest", "Bearer", "Basic"}, false},
	}
	for _, authtype := range []bool{false, true} {
		for _, auth := range []Auth{AuthAuto, AuthBasic, AuthBearer} {
			for _, c := range challenges {
				want := authtype && (auth == AuthBearer || auth == AuthAuto && c.autoBearer)
				var stdout bytes.Buffer
				status, err := Git{}.WriteReply(&stdout, io.Discard,
					Request{Verb: Get, Authtype: authtype, Challenges: c.values},
					Reply{Result: Found, Credential: Credential{Username: "u", Token: "t", Auth: auth}})
				wantOut := "username=u\npassword=t\n"
				if authtype {
					wantOut = "capability[]=authtype\nauthtype=Basic\ncredential=dTp0\nephemeral=1\n"
				}
				if want {
					wantOut = "capability[]=authtype\nauthtype=Bearer\ncredential=t\nephemeral=1\n"
				}
				if status != 0 || err != nil || stdout.String() != wantOut {
					t.Errorf("authtype %t, auth %d, challenges %s: got %q, %d, %v; want %q",
						authtype, auth, c.name, &stdout, status, err, wantOut)
				}
			}
		}
	}
}

// encodeGit writes a request as git does.
func encodeGit(req Request) string {
	var b strings.Builder
	line := func(key, value string) {
		if value != "" {
			b.WriteString(key + "=" + value + "\n")
		}
	}
	if req.Authtype {
		line("capability[]", "authtype")
	}
	line("protocol", req.Scheme)
	line("host", req.Host)
	line("path", req.Path)
	line("username", req.Username)
	line("password", req.Secret)
	for _, challenge := range req.Challenges {
		line("wwwauth[]", challenge)
	}
	return b.String()
}

// writable says by git's rules, in words other than the code's, whether a value fits on a line.
func writable(key, value string) bool {
	for _, c := range []byte(value) {
		if c == 0x7f || c <= 0x1f && !(c == '\t' && key == "wwwauth[]") {
			return false
		}
	}
	return len(key)+len("=")+len(value)+len("\n") <= 65535
}

func FuzzGitRequest(f *testing.F) {
	f.Add("https", "git.acme.dev", "a/b.git", "ada", "secret", true, `Bearer realm="x"`, "")
	f.Add("https", "git.acme.dev\rhost=evil.example", "", "", "", false, "", "")
	f.Add("https", "git.acme.dev\nhost=evil.example", "", "", "", false, "", "")
	f.Add("", "h", "=", "a\x00", "\x7f", true, "Basic\tx", "b\r")
	f.Fuzz(func(t *testing.T, scheme, host, path, username, secret string, authtype bool, first, second string) {
		want := Request{Verb: Get, Scheme: scheme, Host: host, Path: path, Username: username, Secret: secret, HasSecret: secret != "", Authtype: authtype}
		fits := true
		for _, kv := range [][2]string{{"protocol", scheme}, {"host", host}, {"path", path}, {"username", username}, {"password", secret}, {"wwwauth[]", first}, {"wwwauth[]", second}} {
			if strings.Contains(kv[1], "\n") {
				return // Another request altogether: the encoder writes what git refuses to write.
			}
			fits = fits && writable(kv[0], kv[1])
			if kv[0] == "wwwauth[]" && kv[1] != "" {
				want.Challenges = append(want.Challenges, kv[1])
			}
		}
		got, err := Git{}.ReadRequest(Get, strings.NewReader(encodeGit(want)))
		if !fits {
			if err == nil {
				t.Fatalf("%q was accepted as %+v", encodeGit(want), got)
			}
			return
		}
		if scheme == "" {
			want.Host = ""
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("got %+v, %v; want %+v", got, err, want)
		}
	})
}

// FuzzGitRead gives it any bytes: what comes back holds no control byte, and no more than went in.
func FuzzGitRead(f *testing.F) {
	for _, seed := range []string{"protocol=https\nhost=h\n", "url=https://a:b@h/c%0a\n", "url=https://a@b@c\r\n", "host=h\r\n", "capability[]=authtype\nwwwauth[]=\n\n",
		"protocol=https\nhost=h\r\n", "protocol=https\r\nhost=h\n", "host=h\n\r\n", "host=h\n\r\nx", "host=h\r\n\r\nx\ry", "host=h\r\r\n", "host\r=h\r\n", "\xef\xbb\xbfhost=h\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		req, err := Git{}.ReadRequest(Get, bytes.NewReader(in))
		if err != nil && !reflect.DeepEqual(req, Request{Verb: Get}) {
			t.Fatalf("an error came with %+v", req)
		}
		for _, value := range []string{req.Scheme, req.Host, req.Path, req.Username, req.Secret} {
			if !writable("", value) {
				t.Fatalf("a value with a control character came through: %q", value)
			}
			if len(value) > len(in) {
				t.Fatalf("%q is longer than the input", value)
			}
		}
		if req.Host != "" && req.Scheme == "" {
			t.Fatalf("a host without a scheme came through: %+v", req)
		}
		if err == nil && !evenLines(string(in)) {
			t.Fatalf("CR, NUL or a byte order mark was accepted: %q", in)
		}
		// A request without a CR means the same with CR LF on all lines, and as PowerShell ends it.
		if bytes.IndexByte(in, '\r') >= 0 || len(in) > gitMaxLine/2 {
			return
		}
		same := map[string]string{"CR LF": strings.ReplaceAll(string(in), "\n", "\r\n")}
		if bytes.HasSuffix(in, []byte("\n")) && !strings.Contains("\n"+string(in), "\n\n") {
			same["CR LF at the end"] = string(in) + "\r\n"
		}
		for name, text := range same {
			got, gotErr := Git{}.ReadRequest(Get, strings.NewReader(text))
			if !reflect.DeepEqual(got, req) || fmt.Sprint(gotErr) != fmt.Sprint(err) {
				t.Fatalf("%s: %+v, %v; with LF %+v, %v", name, got, gotErr, req, err)
			}
		}
		// A CR behind one line of several is never taken.
		lines := strings.SplitAfter(string(in), "\n")
		for i, line := range lines {
			if err != nil || len(lines) < 3 || !strings.HasSuffix(line, "\n") {
				break
			}
			changed := slices.Clone(lines)
			changed[i] = strings.TrimSuffix(line, "\n") + "\r\n"
			got, err := Git{}.ReadRequest(Get, strings.NewReader(strings.Join(changed, "")))
			if err == nil && !evenLines(strings.Join(changed, "")) {
				t.Fatalf("a CR behind line %d alone: %+v", i+1, got)
			}
			if line == "\n" {
				break
			}
		}
	})
}

// evenLines reports whether a request that is taken may look like this: up to its blank line a CR is nowhere but directly
// before a LF, and there on all lines or on none, but for a last line of CR LF after lines of LF.
func evenLines(in string) bool {
	crlf, lf := 0, 0
	for rest := in; rest != ""; {
		line, after, ended := strings.Cut(rest, "\n")
		rest = after
		text, cr := strings.CutSuffix(line, "\r")
		if strings.ContainsAny(text, "\r\x00") || cr && !ended {
			return false
		}
		switch {
		case cr && lf > 0:
			return text == "" && rest == ""
		case cr:
			crlf++
		case ended:
			lf++
		}
		if ended && crlf > 0 && lf > 0 {
			return false
		}
		if text == "" {
			break
		}
	}
	return !strings.HasPrefix(in, "\ufeff")
}

// TestEvenLines: the fuzz test's own judgement is tested by the rows of the others.
func TestEvenLines(t *testing.T) {
	for in, want := range map[string]bool{
		"a=b\nc=d\n": true, "a=b\r\nc=d\r\n": true, "a=b\r\nc=d": true, "a=b\n\r\n": true, "a=b\r\n\r\nx\ry\n": true, "\r\n": true,
		"a=b\nc=d\r\n": false, "a=b\r\nc=d\n": false, "a=b\n\r\nx": false, "a=b\r": false, "a=b\r\r\n": false, "a\rb=c\n": false,
		"a=b\r\n\n": false, "a\x00=b\n": false, "\ufeffa=b\n": false,
	} {
		if got := evenLines(in); got != want {
			t.Errorf("%q: %t", in, got)
		}
	}
}

// FuzzGitReply: decoding what was written gives back the credential, on exactly the lines that are the protocol's.
func FuzzGitReply(f *testing.F) {
	f.Add("clerk", "tok-1", int64(1800000000), true, 0, "Bearer")
	f.Add("clerk\nquit=1", "tok", int64(0), false, 1, "Basic")
	f.Add("clerk", "a\r", int64(-1), true, 2, "")
	f.Fuzz(func(t *testing.T, username, token string, expires int64, authtype bool, auth int, challenge string) {
		c := Credential{Username: username, Token: token, Auth: Auth(auth)}
		if expires > 0 {
			c.Expires = time.Unix(expires, 0)
		}
		var stdout, stderr bytes.Buffer
		status, err := Git{}.WriteReply(&stdout, &stderr, Request{Verb: Get, Authtype: authtype, Challenges: []string{challenge}}, Reply{Result: Found, Credential: c})
		if err != nil {
			if status != 1 || stdout.Len() > 0 {
				t.Fatalf("status %d and %q beside error %v", status, &stdout, err)
			}
			basic := !strings.Contains(username, ":") && writable("credential", base64.StdEncoding.EncodeToString([]byte(username+":"+token)))
			if writable("username", username) && writable("credential", token) && username != "" && token != "" && (!authtype || basic) {
				t.Fatalf("refused %+v: %v", c, err)
			}
			return
		}
		got := make(map[string]string)
		body, ended := strings.CutSuffix(stdout.String(), "\n")
		for _, line := range strings.Split(body, "\n") {
			key, value, ok := strings.Cut(line, "=")
			if _, twice := got[key]; !ok || twice {
				t.Fatalf("a line that is not ours in %q", &stdout)
			}
			got[key] = value
		}
		want := map[string]string{"username": username, "password": token}
		if authtype { // a header
			want = map[string]string{"capability[]": "authtype", "authtype": "Bearer", "credential": token, "ephemeral": "1"}
			if got["authtype"] == "Basic" {
				want["authtype"], want["credential"] = "Basic", base64.StdEncoding.EncodeToString([]byte(username+":"+token))
			}
		}
		if expires > 0 {
			want["password_expiry_utc"] = strconv.FormatInt(expires, 10)
		}
		if status != 0 || !ended || !reflect.DeepEqual(got, want) || stderr.Len() > 0 {
			t.Fatalf("got %q, status %d, stderr %q; want %v", &stdout, status, &stderr, want)
		}
	})
}
