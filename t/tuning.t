#!/usr/bin/perl

# The tuning file: drain, pin, freeze, without a reload.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use POSIX qw(strftime);
use Test::More;

my $t = DynamicWeight->new;
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
$bj->app('prod', 'orders', 12);
$bj->nodes('127.0.0.11', '127.0.0.12');
$sh->app('prod', 'orders', 6);
$sh->nodes('127.0.0.21', '127.0.0.22');
$t->start_backends;

mkdir "$t->{dir}/conf.d";

# As an editor or a deployment does it: a new file takes the old one's place.
sub tune {
    my ($text) = @_;
    $t->write_file('conf.d/tuning.new', $text);
    rename "$t->{dir}/conf.d/tuning.new", "$t->{dir}/conf.d/tuning.json"
        or die "rename: $!\n";
}

sub peer {
    my ($address) = @_;
    my ($peer) = grep { $_->{server} =~ /^\Q$address\E:/ }
        @{$t->status->{upstreams}{orders}{peers}};
    return $peer;
}

sub in_seconds { strftime('%Y-%m-%dT%H:%M:%SZ', gmtime(time + shift)) }

my $http = <<"EOC" . $t->edge_server('orders');
    dynamic_weight_zone main:2m state=%%DIR%%/state/main.json;
    dynamic_weight_tuning conf.d/tuning.json;
    dynamic_weight_cluster bj {
        api            %%BJ%%;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
        guard          off;
    }
    dynamic_weight_cluster sh {
        api            %%SH%%;
        ingress_nodes  nodes=role=ingress;
        mode           watch;
        guard          off;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        server         127.0.0.2:%%BACKEND%% weight=2;
        server         127.0.0.3:%%BACKEND%% down;
        ingress_nodes  bj service=prod/orders port=%%BACKEND%% slots=4;
        ingress_nodes  sh service=prod/orders port=%%BACKEND%% slots=4;
        keepalive      16;
    }
EOC
$t->conf(http => $http);

# nginx -t.

my ($status, $said) = $t->test_conf;
isnt($status, 0, 'nginx -t refuses a file that is missing');
like($said, qr/tuning\.json" cannot be opened.*write \{\}.*nginx\.conf:\d+/,
    'and says what to do');
tune("// nothing yet\n{ \"rules\": [\n  { \"upstrem\": \"orders\" } ] }\n");
($status, $said) = $t->test_conf;
isnt($status, 0, 'nginx -t refuses a broken one');
like($said, qr/tuning\.json":3:5: unknown key "upstrem": .*nginx\.conf:\d+/,
    'with line and column');
tune("{}\n");
($status, $said) = $t->test_conf;
is($status, 0, 'nginx -t takes an empty one') or diag($said);
$t->conf(http => $http =~ s/(dynamic_weight_tuning .*;)/$1 $1/r);
like(($t->test_conf)[1], qr/"dynamic_weight_tuning" directive is duplicate/,
    'one file is enough');
$t->conf(http => $http);

ok($t->start, 'nginx starts');
my %kvm = ('127.0.0.1' => 10, '127.0.0.2' => 20, '127.0.0.3' => 0);
my %bj = map { ("127.0.0.$_" => 60) } 11, 12;
my %sh = map { ("127.0.0.$_" => 30) } 21, 22;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}), 'the weights without rules');
is_deeply($t->status->{tuning}{rules}, [], 'the status knows of no rule');
my @workers = sort $t->workers;

# Drain a node that has running requests.

my @slow;
for (1 .. 12) {
    my $pid = fork // die "fork: $!\n";
    if ($pid == 0) {
        my $answer = http_get($t->port, '/slow');
        POSIX::_exit($answer && length $answer->{body} == 4000 ? 0 : 1);
    }
    push @slow, $pid;
}
wait_ok { peer('127.0.0.11')->{active} } 'the node has running requests';
tune(<<"EOC");
{ "rules": [ // whoever is on call writes here
  { "server": "127.0.0.11", "drain": true,
    /* who and why */ "reason": "new kernel, Li <li\@example.com>" }
] }
EOC
delete $bj{'127.0.0.11'};
$bj{'127.0.0.12'} = 120;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
    'drained; the other node of the cluster has its share');
my $mark = $t->mark;
wait_ok { peer('127.0.0.11')->{state} eq 'drained' } 'the last request ends';
is(scalar(grep { waitpid $_, 0; $? } @slow), 0,
    'all that were running got their whole answer');
$mark = $t->mark;
http_get($t->port, '/') for 1 .. 300;
ok(!$t->backend_counts($mark)->{'127.0.0.11'}, 'it gets no new request');
wait_ok { peer('127.0.0.11')->{tuning} } 'the status shows the rule';
is(peer('127.0.0.11')->{tuning}{reason}, 'new kernel, Li <li@example.com>',
    'why');
is(peer('127.0.0.11')->{tuning}{line}, 2, 'where it stands');
ok(!peer('127.0.0.12')->{tuning}, 'not at other peers');
wait_ok { $t->status->{tuning}{rules}[0]{peers} == 1 } 'it is for one peer';
like($t->log, qr/tuning file .* is loaded: 1 rules/, 'the log tells');
like($t->log, qr/"bj": .*nodes 2, drained 0 -> 1, weight 60 -> 120/,
    'and tells of the weight');

# It survives a reload and a killed worker.

ok($t->reload, 'reload');
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'drained at once');
$t->allow('worker process \d+ exited on signal 9');
wait_ok { $t->worker0 } 'worker 0 watches';
my $victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'a new worker 0 watches';
$sh->app('prod', 'orders', 8);
%sh = map { ("127.0.0.$_" => 40) } 21, 22;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}), 'still drained');

# A broken file, a missing one.

tune("{ \"rules\": [\n  { \"upstream\": \"orders\", \"drain\": true ] }\n");
wait_ok { $t->status->{tuning}{error} } 'a broken file is told';
like($t->status->{tuning}{error}, qr/tuning\.json":2:\d+: /, 'where it breaks');
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'nothing changes');
like($t->log, qr/\[error\].*tuning file "\S+":2:\d+: .*rules stay in force/,
    'the log says so, too');
$victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'a new worker 0 watches';
wait_ok { $t->status->{tuning}{error} } 'the broken file is told again';
is_deeply($t->weights('orders'), {%kvm, %bj, %sh},
    'the last good rules are still known');
$t->signal('HUP');
wait_ok { $t->log =~ /\[emerg\].*tuning file "\S+":2:\d+/ }
    'a reload is refused';
$t->allow('\[emerg\].*tuning file');
unlink "$t->{dir}/conf.d/tuning.json";
wait_ok { $t->status->{tuning}{error} =~ /cannot be opened/ }
    'a missing file is told';
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'nothing changes');

# Back by itself, servers too; the file is mounted as a ConfigMap's.

mkdir "$t->{dir}/conf.d/..$_" for 1, 2;
$t->write_file("conf.d/..1/tuning.json", <<"EOC");
{ "rules": [
  { "node": "node-127-0-0-11", "drain": true, "expires": "@{[in_seconds(3)]}" },
  { "server": "127.0.0.1:$t->{backend}", "drain": true,
    "expires": "@{[in_seconds(3)]}" },
  { "server": "127.0.0.2", "weight": 7, "reason": "half its size" },
  { "upstream": "orders", "cluster": "sh", "scale": 0.5, "min": 25 },
  { "server": "127.0.0.3", "weight": 5 }
] }
EOC
symlink '..1', "$t->{dir}/conf.d/..data";
symlink '..data/tuning.json', "$t->{dir}/conf.d/tuning.json";
delete $kvm{'127.0.0.1'};
$kvm{'127.0.0.2'} = 7;
%sh = map { ("127.0.0.$_" => 25) } 21, 22;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
    'drained, pinned, scaled; what is down stays down');
is(peer('127.0.0.1')->{state}, 'drained', 'a server is drained like a node');
is(peer('127.0.0.3')->{state}, 'down', 'and one that is down is not');
is(peer('127.0.0.2')->{tuning}{reason}, 'half its size', 'a server says why');
my %of = map { $_->{cluster} => $_ } @{$t->status->{upstreams}{orders}{clusters}};
is($of{sh}{weight}, 40, 'a line tells what its cluster gives it');
is_deeply($of{sh}{tuned}, { peers => 2, least => 25, most => 25 },
    'and what its nodes weigh instead');
is_deeply($of{bj}{tuned}, { peers => 1, least => 0, most => 0 },
    'and that one of them is drained');
$kvm{'127.0.0.1'} = 10;
%bj = map { ("127.0.0.$_" => 60) } 11, 12;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}), 'given back by itself');
like($t->log, qr/line 2 \{.*\} has expired/, 'the log tells');
wait_ok { !$t->status->{tuning}{rules}[0]{in_force} } 'the status, too';

$t->write_file("conf.d/..2/tuning.json", "{ \"rules\": [] }\n");
symlink '..2', "$t->{dir}/conf.d/..data_tmp";
rename "$t->{dir}/conf.d/..data_tmp", "$t->{dir}/conf.d/..data";
$kvm{'127.0.0.2'} = 20;
%sh = map { ("127.0.0.$_" => 40) } 21, 22;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}), 'a swapped link is noticed');

# Freeze.

tune('{ "rules": [ { "freeze": true, "reason": "release day" } ] }');
wait_ok { peer('127.0.0.11')->{tuning} } 'frozen';
$bj->app('prod', 'orders', 40);
$bj->nodes(map "127.0.0.$_", 11 .. 13);
wait_ok {
    my $view = $t->status->{clusters}{bj}{view};
    $view->{apps}{'service=prod/orders'}{pods} == 40
        && $view->{ingress_nodes}{total} == 3
} 'the cluster has other pods and nodes';
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'the weights hold');
my ($line) = @{$t->status->{upstreams}{orders}{clusters}};
is($line->{pods}, 12, 'the arithmetic shown is that of the weight');
like($line->{reason}, qr/frozen by tuning/, 'with the reason');
ok($t->reload, 'reload');
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'they hold in a reload');
wait_ok { $t->worker0 } 'worker 0 watches';
$victim = $t->worker0;
kill 'KILL', $victim;
wait_ok { $t->next_worker0($victim) } 'a new worker 0 watches';
wait_ok {
    $t->status->{clusters}{bj}{watch}{lists} >= 2
} 'and has read the cluster';
is_deeply($t->weights('orders'), {%kvm, %bj, %sh}, 'they hold in its death');

# A node is drained, and given back, in what is frozen.

tune('{ "rules": [ { "freeze": true },
    { "node": "node-127-0-0-12", "drain": true } ] }');
delete $bj{'127.0.0.12'};
ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
    'a node is drained while all else is frozen');
ok($t->reload, 'reload');
tune('{ "rules": [ { "freeze": true } ] }');
$bj{'127.0.0.12'} = 60;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}), 'and given back');
tune('{}');
%bj = map { ("127.0.0.$_" => 133) } 11 .. 13;
ok($t->wait_weights('orders', {%kvm, %bj, %sh}),
    'the weights follow when the freeze is lifted');

# A rule that is for nobody.

tune('{ "rules": [ { "server": "127.0.0.77", "drain": true } ] }');
wait_ok { $t->log =~ /\[warn\].*127\.0\.0\.77.* is for no peer/ }
    'a rule for no peer is warned of';

$t->done;
