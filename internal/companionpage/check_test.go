package companionpage

import (
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
)

// TestProbeEcho: a page that answers with what it was sent, and not in HTTP, has none of it printed.
func TestProbeEcho(t *testing.T) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			buffer := make([]byte, 64<<10)
			n, _ := conn.Read(buffer)
			header, body, _ := strings.Cut(string(buffer[:n]), "\r\n\r\n")
			for line := range strings.SplitSeq(header, "\r\n") {
				if name, value, _ := strings.Cut(line, ": "); name == "Authorization" || name == "Cookie" {
					body = value + body
				}
			}
			io.WriteString(conn, body+"\r\n\r\n")
			conn.Close()
		}
	}()
	p := NewProbe("http://"+listener.Addr().String(), "test", http.DefaultTransport)
	token := randomWord()
	_, err = p.refresh(t.Context(), token)
	if err == nil || strings.Contains(err.Error(), token) {
		t.Errorf("error %v", err)
	}
	for _, way := range append(inHeaders(token), p.inCookies(token)...) {
		password := base64.StdEncoding.EncodeToString([]byte("clerk:" + token))
		for _, ask := range []func() (answered, error){
			func() (answered, error) { return p.openAs(t.Context(), way.header) },
			func() (answered, error) { return p.approveAs(t.Context(), way.header, p.consentForm("sess_1", "")) },
		} {
			_, err := ask()
			if err == nil || strings.Contains(err.Error(), token) || strings.Contains(err.Error(), password) {
				t.Errorf("%s: error %v", way.name, err)
			}
		}
	}
}
