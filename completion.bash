# Bash completion of overrides: source completion.bash, then python -m mnist_flow.train model=<TAB>
#
# Hydra's own completion knows `python file.py` and installed commands, but not `python -m module`, so this hands it the
# line in a form that it knows. Every other python command completes file names as before.
_mnist_flow_complete() {
  local line="${COMP_LINE:0:COMP_POINT}" pattern='^([^[:space:]]*python[0-9.]*) -m (mnist_flow\.(train|analyze|evaluate|sync|relocate|reproduce|runs)) (.*)$'
  COMPREPLY=()
  [[ $line =~ $pattern ]] || return 0
  local python="${BASH_REMATCH[1]}" module="${BASH_REMATCH[2]}" arguments="${BASH_REMATCH[4]}" choices
  arguments="${arguments#-m }"
  choices="$(COMP_LINE="$module $arguments" "$python" -m "$module" --shell-completion query=bash 2>/dev/null)"
  mapfile -t COMPREPLY < <(compgen -W "$choices" -- "${line##* }")
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=/}
complete -o nospace -o default -F _mnist_flow_complete python python3 .venv/bin/python
