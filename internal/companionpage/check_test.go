package companionpage

import (
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
			_, body, _ := strings.Cut(string(buffer[:n]), "\r\n\r\n")
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
}
