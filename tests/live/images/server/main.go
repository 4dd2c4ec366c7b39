// A small HTTP server for live tests: it says what it received, remembers request ids, and can be told how to behave.
//
// Settings (environment): PORTS (comma list, default "80"), NAME (default: the host's name), STOP=graceful|at-once
// (server G: on SIGTERM it goes on for LINGER and then closes; server K: it exits at once), LINGER (default 2s),
// HEALTH=healthy|unhealthy|after:5s (what /health answers), LOG (a file that request ids are appended to).
//
// Paths: /health, /_ids (ids seen), /_count (requests echoed), /_health?set=healthy|unhealthy, /_slow?ms=N; everything else echoes.
// As a command: "server health [url]" asks /health and exits 0 or 1 (a HEALTHCHECK without a shell).
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

type state struct {
	mu      sync.Mutex
	ids     []string
	log     *os.File
	healthy atomic.Bool
	count   atomic.Int64
	name    string
}

func env(key, fallback string) string {
	if value := os.Getenv(key); value != "" {
		return value
	}
	return fallback
}

func (s *state) record(id string) {
	if id == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ids = append(s.ids, id)
	if s.log != nil {
		fmt.Fprintln(s.log, id)
	}
}

func (s *state) echo(w http.ResponseWriter, r *http.Request) {
	s.count.Add(1)
	s.record(r.Header.Get("X-Request-Id"))
	body, _ := io.Copy(io.Discard, r.Body)
	if ms, err := strconv.Atoi(r.URL.Query().Get("ms")); err == nil && r.URL.Path == "/_slow" {
		time.Sleep(time.Duration(ms) * time.Millisecond)
	}
	hostname, _ := os.Hostname()
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Server", s.name)
	json.NewEncoder(w).Encode(map[string]any{
		"name": s.name, "hostname": hostname, "method": r.Method, "path": r.URL.Path, "query": r.URL.RawQuery,
		"host": r.Host, "headers": r.Header, "remote": r.RemoteAddr, "local": local.String(), "body": body,
	})
}

func (s *state) health(w http.ResponseWriter, _ *http.Request) {
	if !s.healthy.Load() {
		http.Error(w, "told to be unhealthy", http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "healthy")
}

func (s *state) setHealth(w http.ResponseWriter, r *http.Request) {
	s.healthy.Store(r.URL.Query().Get("set") == "healthy")
	fmt.Fprintln(w, s.healthy.Load())
}

func (s *state) seen(w http.ResponseWriter, _ *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	json.NewEncoder(w).Encode(s.ids)
}

func (s *state) prepareHealth(wish string) {
	s.healthy.Store(wish == "healthy")
	if strings.HasPrefix(wish, "after:") {
		duration, err := time.ParseDuration(strings.TrimPrefix(wish, "after:"))
		if err != nil {
			panic(err)
		}
		time.AfterFunc(duration, func() { s.healthy.Store(true) })
	}
}

func ask(url string) int {
	client := http.Client{Timeout: 2 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer response.Body.Close()
	text, _ := io.ReadAll(response.Body)
	fmt.Print(string(text))
	if response.StatusCode != http.StatusOK {
		return 1
	}
	return 0
}

func main() {
	ports := strings.Split(env("PORTS", "80"), ",")
	if len(os.Args) > 1 && os.Args[1] == "health" {
		url := "http://127.0.0.1:" + ports[0] + "/health"
		if len(os.Args) > 2 {
			url = os.Args[2]
		}
		os.Exit(ask(url))
	}
	hostname, _ := os.Hostname()
	s := &state{name: env("NAME", hostname)}
	if path := os.Getenv("LOG"); path != "" {
		file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			panic(err)
		}
		s.log = file
	}
	s.prepareHealth(env("HEALTH", "healthy"))
	mux := http.NewServeMux()
	mux.HandleFunc("/health", s.health)
	mux.HandleFunc("/_health", s.setHealth)
	mux.HandleFunc("/_ids", s.seen)
	mux.HandleFunc("/_count", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, s.count.Load()) })
	mux.HandleFunc("/", s.echo)
	server := &http.Server{Handler: mux}
	for _, port := range ports {
		listener, err := net.Listen("tcp", ":"+port)
		if err != nil {
			panic(err)
		}
		go server.Serve(listener)
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	if env("STOP", "at-once") != "graceful" {
		os.Exit(0)
	}
	linger, err := time.ParseDuration(env("LINGER", "2s"))
	if err != nil {
		panic(err)
	}
	time.Sleep(linger)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	server.Shutdown(ctx)
}
