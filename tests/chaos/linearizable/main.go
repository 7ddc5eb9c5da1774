// Checks a history of reads and writes of registers for linearizability, with Porcupine.
//
//	linearizable HISTORY.json [SECONDS]
//
// The file is a list of {client, key, write, value, call, return}; times are nanoseconds of one clock, a return of 0 says that nobody knows whether and when
// the operation took effect. A register is 0 until it is written. Exit status: 0 linearizable, 1 not, 2 could not be decided or read.
package main

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strconv"
	"time"

	"github.com/anishathalye/porcupine"
)

type operation struct {
	Client int    `json:"client"`
	Key    string `json:"key"`
	Write  bool   `json:"write"`
	Value  int64  `json:"value"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
}

var register = porcupine.Model{
	Init: func() interface{} { return int64(0) },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		op := input.(operation)
		if op.Write {
			return true, op.Value
		}
		return op.Value == state.(int64), state
	},
	DescribeOperation: func(input, output interface{}) string {
		op := input.(operation)
		if op.Write {
			return fmt.Sprintf("write %d", op.Value)
		}
		return fmt.Sprintf("read %d", op.Value)
	},
}

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: linearizable HISTORY.json [SECONDS]")
		os.Exit(2)
	}
	seconds := 60
	if len(os.Args) > 2 {
		var err error
		if seconds, err = strconv.Atoi(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(2)
		}
	}
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	var all []operation
	if err := json.Unmarshal(text, &all); err != nil {
		fmt.Fprintln(os.Stderr, os.Args[1]+":", err)
		os.Exit(2)
	}
	byKey := map[string][]porcupine.Operation{}
	for _, op := range all {
		end := op.Return
		if end == 0 {
			end = math.MaxInt64
		}
		byKey[op.Key] = append(byKey[op.Key], porcupine.Operation{ClientId: op.Client, Input: op, Call: op.Call, Output: op.Value, Return: end})
	}
	status := 0
	for key, history := range byKey {
		result, info := porcupine.CheckOperationsVerbose(register, history, time.Duration(seconds)*time.Second)
		switch result {
		case porcupine.Ok:
			continue
		case porcupine.Unknown:
			fmt.Printf("%s: not decided within %d s: %d operations\n", key, seconds, len(history))
			if status == 0 {
				status = 2
			}
		case porcupine.Illegal:
			picture := os.Args[1] + "." + key + ".html"
			fmt.Printf("%s: NOT LINEARIZABLE: %d operations; a picture of the longest right part is in %s\n", key, len(history), picture)
			if err := porcupine.VisualizePath(register, info, picture); err != nil {
				fmt.Println(err)
			}
			status = 1
		}
	}
	if status == 0 {
		fmt.Printf("linearizable: %d operations on %d registers\n", len(all), len(byKey))
	}
	os.Exit(status)
}
