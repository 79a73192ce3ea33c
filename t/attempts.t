#!/usr/bin/perl

# What a request says of its attempts: $dynamic_weight_cluster, which has an
# entry wherever $upstream_addr has one, and the counters of each peer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use IO::Socket::UNIX;
use Test::More;

my $t = DynamicWeight->new(workers => 1);
my $bj = $t->fake_cluster('BJ');
my $sh = $t->fake_cluster('SH');
for my $cluster ($bj, $sh) { $cluster->app('prod', 'orders', 20) }
$bj->nodes('127.0.0.11');
$sh->nodes('127.0.0.12');
$t->start_backends;
my $accel = free_port();

# What refuses at once, not after a while: a socket that nobody listens on.
my $refused = $t->dir . '/refused.sock';
IO::Socket::UNIX->new(Listen => 1, Local => $refused)->close;
chmod 0777, $refused;

# Upstreams: what they are of; each asked for under its name.

my $bj_line = 'ingress_nodes bj service=prod/orders port=%%BACKEND%% max_fails=0;';
my $sh_line = 'ingress_nodes sh service=prod/orders port=%%BACKEND%% max_fails=0;';
my %upstream = (
    bj      => "dynamic_weight; $bj_line",
    sh      => "dynamic_weight; $sh_line",
    kvm     => 'dynamic_weight; server 127.0.0.21:%%BACKEND%% max_fails=0;',
    both    => "dynamic_weight; $bj_line server 127.0.0.21:%%BACKEND%% backup "
        . 'max_fails=0;',
    refused => "dynamic_weight; server unix:$refused max_fails=0; "
        . "$bj_line",
    gone    => 'dynamic_weight; server 127.0.0.31:1 down;',
    theirs  => 'server 127.0.0.22:%%BACKEND%% max_fails=0;',
);
my $upstreams = join "\n", map { "upstream $_ { $upstream{$_} }" }
    sort keys %upstream;
my $locations = join "\n",
    map { "location /$_ { proxy_pass http://$_/; error_page 500 502 = \$to; }" }
    sort keys %upstream;
my $named = join "\n",
    map { "location \@$_ { proxy_pass http://$_; error_page 500 502 = \$then; }" }
    sort keys %upstream;

$t->conf(http => <<"EOF");
    dynamic_weight_zone main:1m;
    dynamic_weight_cluster bj { api %%BJ%%; ingress_nodes nodes=role=ingress; }
    dynamic_weight_cluster sh { api %%SH%%; ingress_nodes nodes=role=ingress; }
    $upstreams
    log_format entries "\$request_uri clusters=\$dynamic_weight_cluster";
    map \$arg_to \$to { default \@\$arg_to; "" /none; }
    map \$arg_then \$then { default \@\$arg_then; "" /none; }
    server {
        listen 127.0.0.1:$accel;
        location / { add_header X-Accel-Redirect \$arg_next; return 200; }
        location = /subrequests {
            return 200 '<!--#include virtual="/bj" --><!--#include virtual="/sh" -->';
        }
    }
    upstream accel { dynamic_weight; server 127.0.0.1:$accel; }
    server {
        listen              127.0.0.1:%%PORT%%;
        proxy_http_version  1.1;
        proxy_set_header    Connection "";
        proxy_next_upstream error timeout http_500;
        proxy_intercept_errors on;
        recursive_error_pages  on;
        add_header          X-Addresses "\$upstream_addr" always;
        add_header          X-Clusters "\$dynamic_weight_cluster" always;
        add_header          X-Last "\$dynamic_weight_peer_cluster" always;
        location = /none { return 204; }
        $locations
        $named
        location /variable { proxy_pass http://\$arg_upstream/; }
        location = /with-subrequests {
            proxy_pass      http://accel/subrequests;
            ssi             on;
            ssi_types       *;
            access_log      %%DIR%%/access.log entries;
        }
        location /accel { proxy_pass http://accel; }
        location /twice { proxy_pass http://accel/?next=/bj; }
        location = /often/0 { proxy_pass http://bj/; }
        @{[map { "location = /often/$_ { proxy_pass http://accel/?next=/often/"
            . ($_ - 1) . '; }' } 1 .. 8]}
        location /status { return 204; }
        location /dw/ { dynamic_weight_status; }
    }
EOF
ok($t->start, 'nginx starts');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 } 'ready';

# Whose an address is.
my %cluster = ('127.0.0.11' => 'bj', '127.0.0.12' => 'sh');

# Both variables' entries of an answer, and its last.
sub entries {
    my ($uri) = @_;
    my $answer = http_get($t->port, $uri) or return { addresses => 'none' };
    my ($addresses) = $answer->{headers} =~ /^X-Addresses: (.*?)\r?$/m;
    my ($clusters)  = $answer->{headers} =~ /^X-Clusters: (.*?)\r?$/m;
    my ($last)      = $answer->{headers} =~ /^X-Last: (.*?)\r?$/m;
    return { addresses => $addresses // '', clusters => $clusters // '',
        last => $last // '' };
}

# What the clusters should be, from the addresses alone.
sub expected {
    my ($addresses) = @_;
    return $addresses =~ s{[^ ,]+}{
        my ($host) = $& =~ /^(.*?)(?::\d+)?$/;
        $& eq ':' ? ':' : $cluster{$host} // '-' }ger;
}

# Asks, and checks that the clusters are where the addresses are; returns them.
sub aligned {
    my ($uri, $clusters, $name) = @_;
    my $got = entries($uri);
    is($got->{clusters}, expected($got->{addresses}), "$name: aligned");
    is($got->{clusters}, $clusters, "$name: and right");
    is($got->{last}, (split /[, :]+/, $clusters)[-1] // '', "$name: the last")
        if $got->{last} ne '';
    note("$got->{addresses} | $got->{clusters}");
}

aligned('/bj', 'bj', 'a node');
aligned('/kvm', '-', 'a KVM');
aligned('/bj', 'bj', 'a kept connection');
aligned('/theirs', '-', "another's upstream");
aligned("/variable?upstream=$_->[0]", $_->[1], "by variable: $_->[0]")
    for [bj => 'bj'], [kvm => '-'], [theirs => '-'];
is(entries('/status')->{clusters}, '', 'no attempt: no value');

$t->break_backend("127.0.0.$_") for 11, 21;
aligned('/both', 'bj, -', 'two attempts');
aligned('/bj?to=sh', 'bj : sh', 'error_page');
aligned('/kvm?to=sh', '- : sh', 'from a KVM');
aligned('/bj?to=kvm&then=sh', 'bj : - : sh', 'twice');
aligned('/both?to=theirs', 'bj, - : -', "to another's");
$t->break_backend('127.0.0.22');
aligned('/theirs?to=sh', '- : sh', "from another's");
aligned('/both?to=theirs&then=sh', 'bj, - : - : sh', "over another's");
aligned('/gone?to=sh', '- : sh', 'no live upstream');
aligned('/bj?to=gone&then=sh', 'bj : - : sh', 'no live upstream on the way');
aligned('/bj?to=both&then=sh', 'bj : bj, - : sh', 'one node twice');
$t->mend_backend("127.0.0.$_") for 11, 21, 22;

# Subrequests have their own, and leave the request's alone.

like(http_get($t->port, '/with-subrequests')->{body}, qr/11.*12/s,
    'subrequests');
wait_ok { $t->read_file('access.log') =~ /with-subrequests .*\n/ } 'logged';
is(join('; ', map { /clusters=(.*)/ ? $1 : () }
        split /\n/, $t->read_file('access.log')),
    '-', 'the request has its own');

# As many redirects as nginx follows.

aligned('/accel?next=/sh', '- : sh', 'X-Accel-Redirect');
aligned('/accel?next=/twice', '- : - : bj', 'and another');
aligned('/often/8', join(' : ', ('-') x 8, 'bj'), 'and many');

# ---- Counters: what a peer answered, and no other's.

sub counters {
    my ($upstream) = @_;
    return { map { $_->{server} =~ s/:\d+$//r => $_ }
        @{$t->status->{upstreams}{$upstream}{peers}} };
}
$t->break_backend('127.0.0.11');
entries('/refused') for 1 .. 4;
$t->mend_backend('127.0.0.11');
my $after = counters('refused');
my ($silent, $answering) = @$after{"unix:$refused", '127.0.0.11'};
cmp_ok($silent->{requests}, '>=', 4, 'one was asked');
cmp_ok($silent->{fails}, '>=', 4, 'and failed');
is($silent->{responses}{$_}, 0, "and answered nothing: $_")
    for sort keys %{$silent->{responses}};
is($silent->{$_}, 0, "$_: none") for qw(sent received);
cmp_ok($answering->{responses}{'5xx'}, '>=', 4, 'the other one did');
is($answering->{responses}{'5xx'}, $answering->{requests}, 'each time once');
cmp_ok($answering->{received}, '>', 0, 'with so many bytes');

$t->done;
