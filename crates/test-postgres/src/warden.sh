# Starts a server, waits until nobody uses it any more, stops it and removes its folder.
# Its standard input is locked for as long as it runs. Users hold a lock on the file `users`: the kernel gives
# that back also when they are killed.
set -eu
folder=$1 linger_seconds=$2 bin=$3
cd "$folder"
{
	command -v flock || { echo "the command flock (of util-linux) is missing"; exit 1; }
	"$bin/initdb" --pgdata data --username postgres --pwfile password --auth password --encoding UTF8 --no-locale --no-sync
	cat settings >>data/postgresql.conf
	"$bin/pg_ctl" start --pgdata data --wait --log server.log
} >log 2>&1 </dev/null
: >ready

exec 8<starting 9<users
while :; do
	flock 9
	flock -u 9
	sleep "$linger_seconds"
	# Nobody can join from here on, unless it did meanwhile.
	flock 8
	if flock -n 9; then break; fi
	flock -u 8
done
# The server may have been stopped already.
"$bin/pg_ctl" stop --pgdata data --mode immediate >>log 2>&1 </dev/null || true
cd /
# At once, so that nobody enters a folder that is half gone.
mv "$folder" "$folder.gone-$$"
rm -rf "$folder.gone-$$"
