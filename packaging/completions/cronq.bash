# bash completion for cronq, made by `make generated`. As /usr/share/bash-completion/completions/cronq.
# What exists, asked of the queue that the words typed so far lead to.
_cronq_ask() {
    local column=$1 listing=(ls --limit 500) options=() previous='' word
    shift
    case $column in schedules) column=1 listing=(schedules) ;; esac
    for word in "$@"; do
        case $previous in --config | --db) options+=("$previous" "$word") ;; esac
        case $word in --config=* | --db=*) options+=("$word") ;; esac
        previous=$word
    done
    cronq "${options[@]}" "${listing[@]}" 2>/dev/null | cut -f"$column" | sort -u
}

# Names come from a database: compgen -W would run a $(command) in them.
_cronq_offer() {
    local name quoted
    while IFS= read -r name; do
        printf -v quoted %q "$name"
        [[ $name == "$current"* || $quoted == "$current"* ]] && COMPREPLY+=("$quoted")
    done < <(_cronq_ask "$1" "${COMP_WORDS[@]}")
}

_cronq_complete() {
    case $1 in
        states) mapfile -t COMPREPLY < <(compgen -W 'scheduled ready blocked pending running retrying waiting finished failed cancelled' -- "$current") ;;
        ids) _cronq_offer 1 ;;
        queues) _cronq_offer 3 ;;
        tasks) _cronq_offer 5 ;;
        schedule_names) _cronq_offer schedules ;;
        files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "$current") ;;
    esac
}

_cronq() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} verb='' options='' word skip=''
    COMPREPLY=()
    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
        [ -n "$skip" ] && { skip=''; continue; }
        case $word in
            --) return ;;
            --config|--db|--log-file) skip=1 ;;
            -*) ;;
            *) verb=${verb:+$verb }$word; case $verb in batch|schedules|limits|config) ;; *) break ;; esac ;;
        esac
    done
    case $previous in
        --config|--log-file|--cwd|--textfile|--prefix|--into) _cronq_complete files; return ;;
        --db|--priority|--at|--group|--key|--max-attempts|--time-limit|--after-missing|--limit|--error|--older-than|--since|--until|--search|--timeout|--jobs|--max-time|--max-jobs|--max-memory|--idle-exit|--poll|--grace|-w|--warning|-c|--critical|-t|--note|--sort|--lines|--bind|--app|--to|--user|--file|--mailto|--on-failed|--count|--from|--timezone|--set|--reason|--rate) _cronq_complete none; return ;;
        --queue) _cronq_complete queues; return ;;
        --after|--after-end|--after-failure|--batch) _cronq_complete ids; return ;;
        --task) _cronq_complete tasks; return ;;
        --state) _cronq_complete states; return ;;
    esac
    case $verb in
        enqueue) options='--queue --priority --at --group --key --unique --max-attempts --time-limit --cwd --after --after-end --after-failure --after-missing --limit --batch --stdin --no-check --json' ;;
        emit) options='--json' ;;
        wait) options='--queue --task --group --batch --key --error --older-than --since --until --search --state --timeout --json' ;;
        run) options='--queue --weighted --priority --jobs --limit --max-time --fail' ;;
        work) options='--queue --weighted --priority --jobs --max-jobs --max-memory --max-time --idle-exit --poll --grace --reload' ;;
        health) options='-w --warning -c --critical --queue -t --timeout' ;;
        metrics) options='--textfile' ;;
        progress) options='--note' ;;
        serve-inetd) options='--jobs --idle-exit' ;;
        exec) options='' ;;
        ring) options='' ;;
        workers) options='--json' ;;
        reload-workers) options='' ;;
        status) options='--json' ;;
        ls) options='--queue --task --group --batch --key --error --older-than --since --until --search --state --sort --limit --local --utc --watch --json' ;;
        show) options='--output --utc --json' ;;
        why) options='--json' ;;
        errors) options='--queue --task --group --batch --key --error --older-than --since --until --search --state --limit --utc --json' ;;
        tail) options='--lines' ;;
        top) options='--once' ;;
        web) options='--bind --read-only --prefix --hash-password' ;;
        doctor) options='--settings --json' ;;
        retry) options='--queue --task --group --batch --key --error --older-than --since --until --search --state --now --copy --dry-run --yes -y --json' ;;
        cancel) options='--queue --task --group --batch --key --error --older-than --since --until --search --state --kill --dry-run --yes -y --json' ;;
        edit) options='--queue --priority --at --group --no-group --limit --no-limit --max-attempts --time-limit --json' ;;
        release) options='--json' ;;
        pause) options='--all --json' ;;
        resume) options='--all --json' ;;
        drain) options='--all --timeout --json' ;;
        clear-finished) options='--state --queue --task --group --batch --key --error --older-than --since --until --search --dry-run --yes -y --json' ;;
        update-schema) options='' ;;
        init) options='--app --crontab' ;;
        copy) options='--to --json' ;;
        print-config) options='--user --file --into --mailto --create-user' ;;
        completion) options='' ;;
        man) options='' ;;
        batch) options='' ;;
        'batch open') options='--on-failed --json' ;;
        'batch close') options='--json' ;;
        'batch show') options='--json' ;;
        'batch ls') options='--unended --limit --json' ;;
        schedules) options='--utc --json' ;;
        'schedules show') options='--json' ;;
        'schedules missed') options='--since --limit --json' ;;
        'schedules next') options='--count --from --timezone --json' ;;
        'schedules simulate') options='--from --to --set --json' ;;
        'schedules check') options='--json' ;;
        'schedules pause') options='--until --reason --json' ;;
        'schedules resume') options='--catch-up --json' ;;
        'schedules run') options='--force --json' ;;
        'schedules replay') options='--from --to --dry-run --json' ;;
        'schedules sync') options='--json' ;;
        'schedules reset') options='--json' ;;
        'schedules remove') options='--json' ;;
        'schedules import') options='--system --timezone --verify' ;;
        limits) options='--json' ;;
        'limits set') options='--rate' ;;
        'limits reset') options='' ;;
        config) options='--json' ;;
        'config get') options='--json' ;;
        '') options='--config --db --log-file --verbose -v --quiet -q --debug --version -V enqueue emit wait run work health metrics progress serve-inetd exec ring workers reload-workers status ls show why errors tail top web doctor retry cancel edit release pause resume drain clear-finished update-schema init copy print-config completion man batch schedules limits config' ;;
    esac
    case $current in -*)
        mapfile -t COMPREPLY < <(compgen -W "$options --config --db --log-file --verbose -v --quiet -q --debug --version -V" -- "$current")
        return ;;
    esac
    case $verb in
        '') mapfile -t COMPREPLY < <(compgen -W "$options" -- "$current") ;;
        enqueue) _cronq_complete tasks ;;
        wait) _cronq_complete ids ;;
        exec) _cronq_complete ids ;;
        ring) _cronq_complete ids ;;
        reload-workers) _cronq_complete queues ;;
        show) _cronq_complete ids ;;
        why) _cronq_complete ids ;;
        tail) _cronq_complete ids ;;
        retry) _cronq_complete ids ;;
        cancel) _cronq_complete ids ;;
        edit) _cronq_complete ids ;;
        release) _cronq_complete ids ;;
        pause) _cronq_complete queues ;;
        resume) _cronq_complete queues ;;
        drain) _cronq_complete queues ;;
        'batch close') _cronq_complete ids ;;
        'batch show') _cronq_complete ids ;;
        'schedules show') _cronq_complete schedule_names ;;
        'schedules missed') _cronq_complete schedule_names ;;
        'schedules next') _cronq_complete schedule_names ;;
        'schedules check') _cronq_complete files ;;
        'schedules pause') _cronq_complete schedule_names ;;
        'schedules resume') _cronq_complete schedule_names ;;
        'schedules run') _cronq_complete schedule_names ;;
        'schedules replay') _cronq_complete schedule_names ;;
        'schedules reset') _cronq_complete schedule_names ;;
        'schedules remove') _cronq_complete schedule_names ;;
        'schedules import') _cronq_complete files ;;
        batch) mapfile -t COMPREPLY < <(compgen -W 'open close show ls' -- "$current") ;;
        schedules) mapfile -t COMPREPLY < <(compgen -W 'show missed next simulate check pause resume run replay sync reset remove import' -- "$current") ;;
        limits) mapfile -t COMPREPLY < <(compgen -W 'set reset' -- "$current") ;;
        config) mapfile -t COMPREPLY < <(compgen -W 'get' -- "$current") ;;
    esac
}

complete -F _cronq cronq
