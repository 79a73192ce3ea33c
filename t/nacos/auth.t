#!/usr/bin/perl

# A registry that wants a login: a real server of Nacos 3.1.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use DynamicWeight;
use DynamicWeight::Nacos;
use Test::More;

my $t = DynamicWeight->new;
my $vm = DynamicWeight::Nacos->new($t, 'VM', version => '3.1', auth => 1);
$t->start_backends;
$t->write_file($_, "$vm->{password}\n") for qw(right later);
$t->write_file('later', "wrong\n");
chmod 0644, map "$t->{dir}/$_", qw(right later);

my %ways = (
    subscribed => 'user nacos; password_file %%DIR%%/right;',
    polled => 'user nacos; password_file %%DIR%%/right; mode poll; '
        . 'interval 500ms;',
    later => 'user nacos; password_file %%DIR%%/later; mode poll; '
        . 'interval 500ms;',
    nobody => 'mode poll; interval 500ms;',
);
$t->conf(http => 'dynamic_weight_zone main:4m;' . join('', map { <<"EOF" }
    dynamic_weight_cluster $_ { type nacos; api %%VM%%; $ways{$_} }
    upstream $_ { dynamic_weight; server 127.0.0.1:1 backup;
                  instances $_ service=orders; }
EOF
    sort keys %ways) . $t->edge_server('subscribed'));
$vm->await;
$vm->register('orders', "127.0.0.$_", $t->{backend}) for 11 .. 13;
$t->start;

my %want = map { ("127.0.0.$_" => 10) } 11 .. 13;
sub has {
    my ($upstream) = @_;
    my $weights = $t->weights($upstream);
    return 3 == grep { $weights->{$_} } keys %want;
}
sub last_error { $t->status->{clusters}{$_[0]}{watch}{last_error} }

wait_ok { has('subscribed') } 'a login and a subscription';
wait_ok { has('polled') } 'a login and lists';
wait_ok { last_error('nobody') =~ /403.*write user and password_file/ }
    'without a user it says what is missing';
wait_ok { last_error('later') =~ /login as "nacos".*password_file/ }
    'a wrong password is told of';
ok(!has('later') && !has('nobody'), 'who has not logged in is told nothing');

$t->write_file('later', "$vm->{password}\n");
wait_ok { has('later') } 'another password in the file is taken';

my $password = quotemeta $vm->{password};
unlike($t->log, qr/$password|a%20pass|accessToken/, 'no secret in the log');
$t->done;
