// SPDX-License-Identifier: Apache-2.0

// net/http with its connection pool: BASE-URL HOST, see README.md.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

var sizes = []int{0, 1, 100, 5000, 70000, 300000}
var answers atomic.Int64

func ask(method, path string, body []byte, chunked bool) (int, []byte, error) {
	var r io.Reader
	if len(body) > 0 {
		r = bytes.NewReader(body)
		if chunked {
			r = io.MultiReader(r) // hides the length
		}
	}
	req, err := http.NewRequest(method, os.Args[1]+path, r)
	if err != nil {
		return 0, nil, err
	}
	req.Host = os.Args[2]
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	answers.Add(1)
	return res.StatusCode, data, err
}

func one(k int) error {
	for i := 0; i < 2*len(sizes); i++ {
		body := bytes.Repeat([]byte{byte(k*16 + i)}, sizes[i%len(sizes)])
		path := fmt.Sprintf("/reflect?%d.%d", k, i)
		if i%5 == 4 {
			path = "/reflect-chunked"
		}
		status, got, err := ask("POST", path, body, i%4 == 3)
		if err != nil || status != 200 || !bytes.Equal(got, body) {
			return fmt.Errorf("%d.%d: %d, %d of %d bytes, %v", k, i, status, len(got), len(body), err)
		}
	}
	return nil
}

// leave reads a part of a long answer, and goes.
func leave(k int) error {
	req, _ := http.NewRequest("GET", os.Args[1]+"/bytes?n=3000000", nil)
	req.Host = os.Args[2]
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_, err = io.CopyN(io.Discard, res.Body, int64(1000*k+1))
	res.Body.Close()
	return err
}

func work() error {
	for i := 0; i < 100; i++ {
		status, got, err := ask("GET", fmt.Sprintf("/echo?%d", i), nil, false)
		if err != nil || status != 200 || !strings.Contains(string(got), fmt.Sprintf(`"/echo?%d"`, i)) {
			return fmt.Errorf("echo %d: %d %v", i, status, err)
		}
	}
	for path, want := range map[string]int{"/bytes?n=5000000": 5000000, "/chunked?n=500000": 500000} {
		if _, got, err := ask("GET", path, nil, false); err != nil || len(got) != want {
			return fmt.Errorf("%s: %d bytes, %v", path, len(got), err)
		}
	}
	errs := make([]error, 30)
	var all sync.WaitGroup
	for k := range errs {
		all.Add(1)
		go func(k int) {
			defer all.Done()
			if k < 20 {
				errs[k] = one(k)
			} else {
				errs[k] = leave(k - 20)
			}
		}(k)
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func main() {
	http.DefaultTransport.(*http.Transport).MaxIdleConnsPerHost = 20
	if err := work(); err != nil {
		fmt.Println("wrong", err)
		os.Exit(1)
	}
	fmt.Println("ok", answers.Load())
}
