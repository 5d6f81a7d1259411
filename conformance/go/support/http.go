package support

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
)

// Seen is what the API shows of a sandbox: the SDK keeps only part of it.
func Seen(t *testing.T, id string) map[string]any {
	t.Helper()
	status, body := get(t, os.Getenv("DAYTONA_API_URL")+"/sandbox/"+id, map[string]string{
		"Authorization": "Bearer " + os.Getenv("DAYTONA_API_KEY"),
	})
	Same(t, status, http.StatusOK)
	var seen map[string]any
	Ok(t, json.Unmarshal([]byte(body), &seen))
	return seen
}

// Visit requests a preview, without relying on how this machine resolves `*.localhost`.
func Visit(t *testing.T, address string, headers map[string]string) (int, string) {
	t.Helper()
	return get(t, address, headers)
}

func get(t *testing.T, address string, headers map[string]string) (int, string) {
	t.Helper()
	request := Must(http.NewRequestWithContext(Context(t), http.MethodGet, address, nil))(t)
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer := Must(visitor.Do(request))(t)
	defer answer.Body.Close()
	body := Must(io.ReadAll(answer.Body))(t)
	return answer.StatusCode, string(body)
}

// A redirect is an answer, and every name below localhost is this machine.
var visitor = &http.Client{
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			host, port, err := net.SplitHostPort(address)
			if err == nil && strings.HasSuffix(host, ".localhost") {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return new(net.Dialer).DialContext(ctx, network, address)
		},
	},
}

// Host is the name in an address.
func Host(t *testing.T, address string) string {
	t.Helper()
	return Must(url.Parse(address))(t).Hostname()
}
