package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	lua "github.com/yuin/gopher-lua"
)

// Object is a Kubernetes object as it was read.
type Object = map[string]any

// Scripts is a folder in the layout of Argo CD's resource_customizations.
type Scripts string

// Health runs the health script of the object's kind, as Argo CD does.
func (scripts Scripts) Health(object Object) (status, message string, err error) {
	result, err := scripts.run(object, "health.lua")
	if err != nil {
		return "", "", err
	}
	health, ok := result.(map[string]any)
	if !ok {
		return "", "", fmt.Errorf("health.lua returned %v", result)
	}
	status, _ = health["status"].(string)
	message, _ = health["message"].(string)
	switch status {
	case "Healthy", "Progressing", "Degraded", "Suspended":
		return status, message, nil
	}
	return "", "", fmt.Errorf("health.lua returned the status %q", status)
}

// Actions asks which actions the object's kind offers.
func (scripts Scripts) Actions(object Object) (any, error) {
	return scripts.run(object, "actions/discovery.lua")
}

// Act runs an action; it returns the changed object, or a list of operations.
func (scripts Scripts) Act(object Object, action string) (any, error) {
	return scripts.run(object, filepath.Join("actions", action, "action.lua"))
}

// of is the folder of the object's kind.
func (scripts Scripts) of(object Object) string {
	group := filepath.Dir(fmt.Sprint(object["apiVersion"]))
	return filepath.Join(string(scripts), group, fmt.Sprint(object["kind"]))
}

// run gives a script what Argo CD gives to one from its ConfigMap: the object as `obj`, the base, package and table
// libraries, of os only the clock, and one second.
func (scripts Scripts) run(object Object, script string) (any, error) {
	path := filepath.Join(scripts.of(object), script)
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{lua.LoadLibName: lua.OpenPackage, lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			return nil, err
		}
	}
	state.PreloadModule(lua.OsLibName, func(state *lua.LState) int {
		date := func(state *lua.LState) int {
			if format := state.CheckString(1); format != "!%Y%m%d%H%M%S" {
				state.RaiseError("the format %q is not known here", format)
			}
			state.Push(lua.LString(time.Now().UTC().Format("20060102150405")))
			return 1
		}
		state.Push(state.SetFuncs(state.NewTable(), map[string]lua.LGFunction{"date": date}))
		return 1
	})
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(string(code)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return fromLua(state.Get(-1))
}

func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case int:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case float64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, item := range value {
			table.Append(toLua(state, item))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for key, item := range value {
			table.RawSetString(key, toLua(state, item))
		}
		return table
	}
	return lua.LNil
}

// fromLua takes a table with a first element for a list, and any other for an object.
func fromLua(value lua.LValue) (any, error) {
	switch value := value.(type) {
	case lua.LBool:
		return bool(value), nil
	case lua.LString:
		return string(value), nil
	case lua.LNumber:
		return json.Number(value.String()), nil
	case *lua.LTable:
		if value.Len() > 0 {
			list := make([]any, 0, value.Len())
			for i := 1; i <= value.Len(); i++ {
				item, err := fromLua(value.RawGetInt(i))
				if err != nil {
					return nil, err
				}
				list = append(list, item)
			}
			return list, nil
		}
		object := map[string]any{}
		var failed error
		value.ForEach(func(key, item lua.LValue) {
			converted, err := fromLua(item)
			failed = errors.Join(failed, err)
			object[key.String()] = converted
		})
		return object, failed
	}
	return nil, fmt.Errorf("a script returned a %s", value.Type())
}
