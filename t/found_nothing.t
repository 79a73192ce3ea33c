#!/usr/bin/perl

# What is asked for and not there is told from what was not asked yet; a view of
# long ago is told to be one; files of credentials are read again.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use DynamicWeight;
use JSON::PP;
use Test::More;

my $t = DynamicWeight->new;
my %fake = (excluded => $t->fake_cluster('EXCLUDED', '--token=right'),
    misspelt => $t->fake_cluster('MISSPELT', '--token=renewed'));
$_->app('prod', 'orders', 6) for values %fake;
$fake{misspelt}->nodes(map "127.0.0.$_", 11 .. 13);
$fake{excluded}->nodes(map { {
    name => "n$_", address => "127.0.0.$_", ready => JSON::PP::true,
    labels => { 'node.kubernetes.io/exclude-from-external-load-balancers' =>
        '' } } } 21 .. 23);

chmod 0644, $t->write_file('token', "right\n");
sub kubeconfig {
    my ($token) = @_;
    chmod 0644, $t->write_file('kubeconfig.new', $t->expand(<<"EOF"));
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "%%MISSPELT%%"}}]
users: [{name: u, user: {token: $token}}]
EOF
    rename "$t->{dir}/kubeconfig.new", "$t->{dir}/kubeconfig" or die $!;
}
kubeconfig('expired');

$t->start_backends;
$t->conf(http => <<"EOF" . $t->edge_server('orders'));
    dynamic_weight_zone main:1m state=%%DIR%%/state/main.json;
    dynamic_weight_cluster excluded {
        api            %%EXCLUDED%%;
        token_file     %%DIR%%/token;
        ingress_nodes  nodes=role=ingress;
        timeout        500ms;
    }
    dynamic_weight_cluster misspelt {
        kubeconfig     %%DIR%%/kubeconfig;
        ingress_nodes  nodes=role=ingress;
        mode           poll;
        interval       100ms;
        timeout        500ms;
    }
    upstream orders {
        dynamic_weight;
        server         127.0.0.1:%%BACKEND%%;
        ingress_nodes  excluded service=prod/orders port=%%BACKEND%%;
        ingress_nodes  misspelt service=prod/ordesr port=%%BACKEND%%;
    }
EOF
ok($t->start, 'nginx starts');

sub warnings_of {
    join "\n", @{($t->status // return '')->{clusters}{$_[0]}{watch}{warnings}};
}

# A kubeconfig that is renewed.

wait_ok {
    $t->status->{clusters}{misspelt}{watch}{last_error} =~ /401/
} 'a token that has expired';
kubeconfig('renewed');
wait_ok { $t->status->{clusters}{misspelt}{up} } 'a renewed kubeconfig';

# Nothing found.

my $nodes = qr/3 match, 3 excluded by label node\.kubernetes\.io/;
my $service = qr/no EndpointSlice of a Service ordesr in prod/;
wait_ok { warnings_of('excluded') =~ $nodes } 'excluded nodes: the status';
wait_ok { warnings_of('misspelt') =~ $service } 'a misspelt name: the status';
wait_ok { $t->log =~ /\[warn\].*"excluded".*$nodes/ } 'and the log';
wait_ok { $t->log =~ /\[warn\].*"misspelt".*$service/ } 'of both';
like($t->status->{upstreams}{orders}{clusters}[0]{reason},
    qr/no ingress node is found/, 'the line says why, too');
wait_ok { http_get($t->port, '/dw/ready')->{status} == 200 }
    'all was asked and answered: ready';
like(http_get($t->port, '/dw/')->{body}, $nodes, 'the page has it');

# A token file that is empty for a while.

$t->write_file('token', '');
wait_ok { warnings_of('excluded') =~ /token": is empty/ }
    'an emptied token file is told of';
ok($t->status->{clusters}{excluded}{up}, 'the last good token stays in use');
$t->write_file('token', "right\n");
wait_ok { warnings_of('excluded') !~ /token/ } 'until there is one again';

# A month later, with the API down.

$fake{misspelt}->app('prod', 'ordesr', 6);
my %want = ('127.0.0.1' => 10, map { ("127.0.0.$_" => 20) } 11 .. 13);
ok($t->wait_weights('orders', \%want), 'weights');
# A slow disk is not waited for at the end.
wait_ok {
    $t->read_file('state/main.json') =~ m{"service=prod/ordesr":\{"pods":6\b}
} 'they are saved';
ok($t->stop, 'nginx ends');
$_->stop for values %fake;
my $state = $t->read_file('state/main.json');
my $month = 31 * 24 * 3600 * 1000;
$state =~ s/"observed":(\d+)/'"observed":' . ($1 - $month)/ge;
$t->write_file('state/main.json', $state);
ok($t->start, 'nginx starts a month later');
my $old = qr/a previous run knew 74[45] h ago/;
wait_ok { warnings_of('misspelt') =~ $old } 'weights of a month ago: shown';
wait_ok { $t->log =~ /\[warn\].*"misspelt".*$old/ } 'and told in the log';
cmp_ok($t->status->{clusters}{misspelt}{age}, '>=', $month, 'their age');
ok($t->wait_weights('orders', \%want), 'they hold');

$t->done;
