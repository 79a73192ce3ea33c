package ApiCosts;

# What a real API server has done so far, by its own audit log and metrics.

use strict;
use warnings;

use Exporter 'import';
use List::Util qw(sum0);

our @EXPORT_OK = qw(cpu metrics requests);

# Of the reader, between two marks of the audit log.
sub requests {
    my ($api, $from, $to) = @_;
    my %count = (list => 0, watch => 0, watchlist => 0, unversioned => 0);
    open my $f, '<', $api->audit_file or die "audit log: $!\n";
    seek $f, $from, 0;
    while (tell $f < $to and defined(my $line = <$f>)) {
        next unless $line =~ /"user":\{"username":"reader"/;
        my ($verb) = $line =~ /"verb":"(\w+)"/ or next;
        my ($uri) = $line =~ /"requestURI":"([^"]+)"/ or next;
        $count{$verb}++;
        $count{watchlist}++ if $uri =~ /sendInitialEvents=true/;
        $count{unversioned}++ if $verb eq 'list'
            && $uri !~ /[?&]resourceVersion=\d|u0026resourceVersion=\d/;
    }
    return %count;
}

# Of the kinds that are followed.
sub metrics {
    my ($api) = @_;
    my ($status, $answer) = $api->api(GET => '/metrics');
    my $text = $answer->{text} // '';
    my $sum = sub {
        my ($pattern) = @_;
        return sum0($text =~ /^$pattern \s (\S+)$/mgx);
    };
    my $kinds = qr/resource="(?:endpointslices|nodes)"/;
    return {
        quorum => $sum->(qr/etcd_requests_total\{[^}]*$kinds[^}]*\}/),
        cache_lists => $sum->(
            qr/apiserver_cache_list_total\{[^}]*$kinds[^}]*\}/),
        etcd_lists => $sum->(
            qr/apiserver_storage_list_total\{[^}]*$kinds[^}]*\}/),
        consistent => $sum->(qr/
            apiserver_watch_cache_consistent_read_total\{[^}]*$kinds[^}]*\}/x),
        refused => $sum->(qr/apiserver_request_total\{code="429"[^}]*\}/),
        terminated => $sum->(
            qr/apiserver_terminated_watchers_total\{[^}]*$kinds[^}]*\}/),
    };
}

# Seconds of CPU of a process so far.
sub cpu {
    my ($pid) = @_;
    open my $f, '<', "/proc/$pid/stat" or return 0;
    my @fields = split ' ', (<$f> =~ s/.*\) //r);
    return ($fields[11] + $fields[12]) / 100;
}

1;
